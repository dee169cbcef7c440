import Foundation
import TestAPIServer

/// Objects as a test gives them to an API server, and to `diff` in a file.
struct ServedObjects: Sendable {
    private(set) var objects: [String: JSONValue] = [:]

    static func key(_ object: JSONValue) -> String {
        [object["kind"].string, object["metadata"]["namespace"].string, object["metadata"]["name"].string]
            .map { $0 ?? "" }.joined(separator: "/")
    }

    mutating func set(_ object: JSONValue) { objects[Self.key(object)] = object }
    mutating func remove(_ object: JSONValue) { objects[Self.key(object)] = nil }

    /// All of them as a List, in the order of their names.
    var list: JSONValue {
        let items = objects.sorted { $0.key < $1.key }.map(\.value)
        return ["apiVersion": "v1", "kind": "List", "items": .array(items)]
    }
}

// MARK: - Kinds

extension ServedObjects {
    static let nodeName = "node1"

    /// The node of the tests.
    static func node(zone: String = "zone-a", podCIDRs: [String] = ["10.180.1.0/24", "fd00:10:180:1::/64"]) -> JSONValue
    {
        [
            "apiVersion": "v1", "kind": "Node",
            "metadata": ["name": .string(nodeName), "labels": ["topology.kubernetes.io/zone": .string(zone)]],
            "spec": ["podCIDRs": .array(podCIDRs.map { .string($0) })],
            "status": [
                "addresses": [
                    ["type": "InternalIP", "address": "192.168.0.2"], ["type": "InternalIP", "address": "2001:db8::2"],
                ]
            ],
        ]
    }

    static func serviceCIDR(_ ranges: [String] = ["172.30.0.0/16", "fd00:10:96::/112"]) -> JSONValue {
        [
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": ["name": "kubernetes"],
            "spec": ["cidrs": .array(ranges.map { .string($0) })],
        ]
    }

    /// A Service of both families whose addresses end in a number.
    static func service(_ name: String, _ number: Int, nodePort: Int? = nil) -> JSONValue {
        let addresses = clusterIPs(number)
        var port: JSONValue = ["name": "web", "port": 80, "targetPort": 8080, "protocol": "TCP"]
        if let nodePort { port["nodePort"] = .integer(nodePort) }
        return [
            "apiVersion": "v1", "kind": "Service", "metadata": ["namespace": "ns1", "name": .string(name)],
            "spec": [
                "type": nodePort == nil ? "ClusterIP" : "NodePort", "clusterIP": .string(addresses[0]),
                "clusterIPs": .array(addresses.map { .string($0) }), "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack", "ports": [port],
            ],
        ]
    }

    static func clusterIPs(_ number: Int) -> [String] { ["172.30.1.\(number)", "fd00:10:96::\(number)"] }

    /// The IPv4 EndpointSlice of a Service, its endpoints in the zones that are named in turn.
    static func slice(_ name: String, endpoints: [Int], hintedZones: [String] = []) -> JSONValue {
        let items = endpoints.enumerated().map { index, number -> JSONValue in
            var endpoint: JSONValue = [
                "addresses": [.string("10.180.0.\(number)")],
                "conditions": ["ready": true, "serving": true, "terminating": false],
            ]
            if !hintedZones.isEmpty {
                let zone = hintedZones[index % hintedZones.count]
                endpoint["hints"] = ["forZones": [["name": .string(zone)]]]
            }
            return endpoint
        }
        return [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": [
                "namespace": "ns1", "name": .string("\(name)-v4"),
                "labels": ["kubernetes.io/service-name": .string(name)],
            ],
            "addressType": "IPv4", "endpoints": .array(items),
            "ports": [["name": "web", "port": 8080, "protocol": "TCP"]],
        ]
    }

    /// A node, a range and three services: `plain`, `open` with a node port, `spare`.
    static let beginning: [JSONValue] = [
        node(), serviceCIDR(), service("plain", 1), slice("plain", endpoints: [1, 2, 3]),
        service("open", 2, nodePort: 31002), slice("open", endpoints: [4, 5]), service("spare", 3),
        slice("spare", endpoints: [6]),
    ]
}
