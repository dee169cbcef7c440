import Foundation
import TestSupport

/// The cluster of the tests of UDP flows: one service for each way in which what a flow goes by may change, all of them
/// at once, in both families.
enum UDPCluster {
    /// Node ports are listened on by the node itself: a packet that no rule takes is answered, not lost.
    static let node = TrafficLab.Host(
        "node", ["192.168.0.2", "2001:db8::2"], udp: [nodePort(portReplaced), nodePort(portEmptied)])
    /// The way out. Without a rule a packet to a cluster IP ends here, and is refused.
    static let world = TrafficLab.Host(
        "world", ["203.0.113.250", "2001:db8:beef::250"], udp: [53], networks: ["172.30.0.0/16", "fd00:10:96::/112"])
    static let servers = [
        TrafficLab.Host("web-1", ["10.180.1.9", "fd00:10:180:1::9"], udp: [8080], held: [9090]),
        TrafficLab.Host("web-2", ["10.180.0.9", "fd00:10:180::9"], udp: [8080], held: [9090]),
    ]
    static let pod = TrafficLab.Host("pod", ["10.180.1.200", "fd00:10:180:1::200"])
    static let outside = TrafficLab.Host("outside", ["203.0.113.5", "2001:db8:cafe::5"])
    static var hosts: [TrafficLab.Host] { servers + [pod, outside, world] }

    /// Addresses that a rule of the node's own leads to the world's DNS server.
    static let foreignTargets = ["198.51.100.53", "2001:db8:5353::53"]

    private static let replaced = 1
    private static let emptied = 2
    private static let deleted = 3
    private static let portReplaced = 4
    private static let portEmptied = 5
    private static let portChanged = 6
    private static let draining = 7
    private static let created = 8
    private static let unchanged = 9

    /// A flow: whom its client asks, and whom it reaches before and after the change.
    struct Flow: Sendable {
        var name: String
        /// The address of each family.
        var addresses: [String]
        var port: UInt16 = 80
        var transport = "udp"
        var before: String
        var after: String
    }

    /// Those of the pod, to cluster IPs and to the world.
    static let podFlows = [
        Flow(name: "endpoint replaced", addresses: ips(replaced), before: "web-1", after: "web-2"),
        Flow(name: "last endpoint gone", addresses: ips(emptied), before: "web-1", after: "refused"),
        Flow(name: "service deleted", addresses: ips(deleted), before: "web-1", after: "refused"),
        Flow(name: "target port changed", addresses: ips(portChanged), before: "refused", after: "web-1"),
        Flow(name: "endpoint draining", addresses: ips(draining), before: "web-1", after: "web-1"),
        Flow(name: "service created", addresses: ips(created), before: "refused", after: "web-1"),
        Flow(name: "service unchanged", addresses: ips(unchanged), before: "web-1", after: "web-1"),
        Flow(
            name: "TCP, endpoint replaced", addresses: ips(replaced), port: 90, transport: "tcp", before: "web-1",
            after: "web-1"),
        Flow(name: "DNS outside", addresses: world.addresses, port: 53, before: "world", after: "world"),
        Flow(name: "DNS by a foreign rule", addresses: foreignTargets, port: 53, before: "world", after: "world"),
    ]

    /// Those of the client outside, to node ports.
    static let outsideFlows = [
        Flow(
            name: "node port, endpoint replaced", addresses: node.addresses, port: nodePort(portReplaced),
            before: "web-1", after: "web-2"),
        Flow(
            name: "node port, last endpoint gone", addresses: node.addresses, port: nodePort(portEmptied),
            before: "web-1", after: "refused"),
    ]

    static let configuration = """
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration
        mode: iptables
        hostnameOverride: node1
        iptables: { minSyncPeriod: 0s }

        """

    static func manifests(isChanged: Bool) -> String {
        let now = isChanged ? "web-2" : "web-1"
        let last = isChanged ? [] : ["web-1"]
        var objects = [
            nodeManifest, serviceCIDRManifest,
            service(replaced), service(emptied), service(portReplaced), service(portEmptied),
            service(portChanged), service(draining), service(unchanged),
        ]
        objects += slices(of: replaced, [now]) + slices(of: emptied, last) + slices(of: portReplaced, [now])
        objects += slices(of: portEmptied, last) + slices(of: unchanged, ["web-1"])
        objects += slices(of: portChanged, ["web-1"], port: isChanged ? 8080 : 8081)
        objects += slices(of: draining, isChanged ? ["web-2"] : ["web-1"], draining: isChanged ? ["web-1"] : [])
        let other = isChanged ? created : deleted
        objects += [service(other)] + slices(of: other, ["web-1"])
        return objects.joined(separator: "---\n")
    }

    private static func ips(_ number: Int) -> [String] { ["172.30.1.\(number)", "fd00:10:96::\(number)"] }

    private static func nodePort(_ number: Int) -> UInt16 { UInt16(31000 + number) }

    private static let nodeManifest = """
        apiVersion: v1
        kind: Node
        metadata: { name: node1 }
        status:
          addresses:
          - { type: InternalIP, address: '192.168.0.2' }
          - { type: InternalIP, address: '2001:db8::2' }

        """

    private static let serviceCIDRManifest = """
        apiVersion: networking.k8s.io/v1
        kind: ServiceCIDR
        metadata: { name: kubernetes }
        spec: { cidrs: ['172.30.0.0/16', 'fd00:10:96::/112'] }

        """

    private static func service(_ number: Int) -> String {
        """
        apiVersion: v1
        kind: Service
        metadata: { namespace: ns1, name: s\(number) }
        spec:
          type: NodePort
          clusterIP: '\(ips(number)[0])'
          clusterIPs: ['\(ips(number)[0])', '\(ips(number)[1])']
          ipFamilies: [IPv4, IPv6]
          ports:
          - { name: u, protocol: UDP, port: 80, nodePort: \(nodePort(number)) }
          - { name: t, protocol: TCP, port: 90, nodePort: \(nodePort(number)) }

        """
    }

    private static func slices(
        of number: Int, _ ready: [String], port: UInt16 = 8080, draining: [String] = []
    ) -> [String] {
        [0, 1].map { family in
            let addresses = { (names: [String]) in
                servers.filter { names.contains($0.name) }.map { $0.addresses[family] }
            }
            let endpoints =
                addresses(ready).map { "{ addresses: ['\($0)'], conditions: { ready: true } }" }
                + addresses(draining).map {
                    "{ addresses: ['\($0)'], conditions: { ready: false, serving: true, terminating: true } }"
                }
            return """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata:
                  namespace: ns1
                  name: s\(number)-\(family)
                  labels: { kubernetes.io/service-name: s\(number) }
                addressType: \(family == 0 ? "IPv4" : "IPv6")
                ports:
                - { name: u, protocol: UDP, port: \(port) }
                - { name: t, protocol: TCP, port: 9090 }
                endpoints: [\(endpoints.joined(separator: ", "))]

                """
        }
    }
}
