import Foundation

/// A service of a test, dual-stack, with one slice a family.
struct NodeService {
    var namespace = "default"
    var name: String
    var number: Int
    var port = 80
    var nodePort: Int?
    var affinity = "None"
    /// Addresses are made of these.
    var endpoints: [Int]

    /// Served by a server in the namespace; to be told apart from the others by its address.
    static let always = NodeService(name: "always", number: 10, nodePort: 31_010, endpoints: [1])

    var clusterIP: String { "172.30.\(number / 250).\(number % 250 + 1)" }

    var manifest: String { Self.manifests([self]) }

    /// As JSON, which is read several times as fast as YAML.
    static func manifests(_ services: [NodeService]) -> String {
        let items = services.flatMap { service in
            [
                service.object, service.slice("IPv4") { "10.1.\($0 / 250).\($0 % 250)" },
                service.slice("IPv6") { "fd00:1::\($0)" },
            ]
        }
        return #"{"apiVersion": "v1", "kind": "List", "items": ["# + items.joined(separator: ",\n") + "]}\n"
    }

    private var object: String {
        """
        {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "\(namespace)", "name": "\(name)"},
         "spec": {"type": "\(nodePort == nil ? "ClusterIP" : "NodePort")", "clusterIP": "\(clusterIP)",
          "sessionAffinity": "\(affinity)",
          "clusterIPs": ["\(clusterIP)", "fd00:30::\(number)"], "ipFamilies": ["IPv4", "IPv6"],
          "ipFamilyPolicy": "RequireDualStack",
          "ports": [{"name": "http", "protocol": "TCP", "port": \(port), "targetPort": 8080,
                     "nodePort": \(nodePort ?? 0)}]}}
        """
    }

    private func slice(_ family: String, _ address: (Int) -> String) -> String {
        let list = endpoints.map {
            #"{"addresses": ["\#(address($0))"], "conditions": {"ready": true}, "nodeName": "node2"}"#
        }
        return """
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {"namespace": "\(namespace)", "name": "\(name)-\(family.lowercased())",
                          "labels": {"kubernetes.io/service-name": "\(name)"}},
             "addressType": "\(family)", "endpoints": [\(list.joined(separator: ", "))],
             "ports": [{"name": "http", "protocol": "TCP", "port": 8080}]}
            """
    }

    static let node = """
        apiVersion: v1
        kind: Node
        metadata: { name: node1 }
        status: { addresses: [{ type: InternalIP, address: 10.1.0.2 }, { type: InternalIP, address: 'fd00:1::2' }] }

        """
}

/// What tests look at in the document of `switchyard status --json`.
struct StatusReport: Decodable {
    struct Family: Decodable {
        struct Sync: Decodable {
            var finishedAt: String
            var kind: String
        }
        struct Failure: Decodable {
            struct InputLine: Decodable {
                var number: Int
                var text: String
                var isNamed: Bool
            }
            var sentence: String
            var inputLines: [InputLine]
            var aftermath: String
        }
        struct Check: Decodable {
            var finishedAt: String
            var findings: Int
        }
        struct Drift: Decodable {
            struct Incident: Decodable { var differences: [String] }
            var mended: [String: Int]
            var last: Incident?
        }
        struct Contest: Decodable { var by: String? }
        struct PendingChanges: Decodable { var count: Int }

        var family: String
        var lastSync: Sync?
        var lastFailure: Failure?
        var retryAt: String?
        var lastCheck: Check?
        var pendingChanges: PendingChanges?
        var drift: Drift
        var contested: Contest?
        var refusals: [String]?
        var drainingEndpoints: Int?
    }

    var healthy: Bool
    var problems: [String]
    var families: [Family]
    var logLinesDropped: Int

    subscript(family: String) -> Family? {
        families.first { $0.family.lowercased() == family.lowercased() }
    }
}
