import TestSupport

/// The cluster of the traffic tests: its hosts, and a service for every way of treating packets.
///
/// Everything exists in IPv4 and IPv6, and listens on TCP and UDP.
enum TrafficCluster {
    enum Family: String, CaseIterable, Sendable {
        case ipv4
        case ipv6

        /// Chooses the address of this family.
        func of(_ addresses: [String]) -> String { addresses[self == .ipv4 ? 0 : 1] }
    }

    /// Behind the ports that rules should refuse or drop somebody listens, so that a rule that lacks is noticed.
    static let node = TrafficLab.Host(
        "node", ["192.168.0.2", "2001:db8::2"], tcp: [empty.nodePort, away.nodePort],
        udp: [empty.nodePort, away.nodePort])
    /// The way out of the cluster. It answers for every service's address: what no rule took is not lost quietly. On
    /// UDP it refuses, as a server there would have to answer from the address that it was asked at.
    static let world = TrafficLab.Host(
        "world", ["203.0.113.250", "2001:db8:beef::250"], tcp: [Service.port],
        networks: [
            "172.30.0.0/16", "192.168.99.0/24", "1.2.3.0/24", "fd00:10:96::/112", "2001:db8:99::/64",
            "2001:db8:77::/64",
        ])
    /// A pod of this node that only asks.
    static let pod = TrafficLab.Host("pod", ["10.180.1.200", "fd00:10:180:1::200"])
    /// A client in the source ranges of `ranges`, and one outside them.
    static let friend = TrafficLab.Host("friend", ["203.0.113.5", "2001:db8:cafe::5"])
    static let stranger = TrafficLab.Host("stranger", ["203.0.113.200", "2001:db8:beef::200"])
    /// A client with many addresses, as affinity goes by address.
    static let crowd = TrafficLab.Host(
        "crowd", (1...20).map { "203.0.113.\(20 + $0)" } + (1...20).map { "2001:db8:cafe::1:\($0)" })
    /// web-1 runs on this node.
    static let servers = [
        TrafficLab.Host("web-1", ["10.180.1.9", "fd00:10:180:1::9"], tcp: [8080], udp: [8080], held: [9090]),
        TrafficLab.Host("web-2", ["10.180.0.9", "fd00:10:180::9"], tcp: [8080], udp: [8080], held: [9090]),
        TrafficLab.Host("web-3", ["10.180.2.9", "fd00:10:180:2::9"], tcp: [8080], udp: [8080], held: [9090]),
    ]
    static let all: Set = ["web-1", "web-2", "web-3"]

    static var hosts: [TrafficLab.Host] { servers + [pod, friend, crowd, stranger, world] }

    struct Service: Sendable {
        var name: String
        var number: Int
        var servers: [Int] = [1, 2, 3]
        /// A `ClusterIP` has its cluster IPs alone.
        var type = "NodePort"
        /// Addresses that no host has, a pair of both families for each.
        var otherEndpoints: [[String]] = []
        /// More lines of the specification.
        var settings: [String] = []

        static let port: UInt16 = 80
        /// Of TCP connections that their servers keep open.
        static let heldPort: UInt16 = 90
        var clusterIPs: [String] { ["172.30.1.\(number)", "fd00:10:96::\(number)"] }
        var externalIPs: [String] { ["192.168.99.\(number)", "2001:db8:99::\(number)"] }
        var loadBalancerIPs: [String] { ["1.2.3.\(number)", "2001:db8:77::\(number)"] }
        var nodePort: UInt16 { UInt16(31000 + number) }
        var heldNodePort: UInt16 { UInt16(32000 + number) }
    }

    /// Any traffic to any endpoint.
    static let plain = Service(name: "plain", number: 1)
    /// External traffic stays on the node; there is an endpoint on it.
    static let local = Service(
        name: "local", number: 2, type: "LoadBalancer", settings: ["externalTrafficPolicy: Local"])
    /// External traffic stays on the node; no endpoint is on it.
    static let away = Service(
        name: "away", number: 3, servers: [2, 3], type: "LoadBalancer", settings: ["externalTrafficPolicy: Local"])
    static let ranges = Service(
        name: "ranges", number: 4, type: "LoadBalancer",
        settings: [
            "loadBalancerSourceRanges: ['203.0.113.0/25', '192.168.0.0/24', '2001:db8:cafe::/64', '2001:db8::/64']"
        ])
    /// Its ranges leave the node itself out.
    static let closed = Service(
        name: "closed", number: 10, type: "LoadBalancer",
        settings: ["loadBalancerSourceRanges: ['203.0.113.0/25', '2001:db8:cafe::/64']"])
    static let empty = Service(name: "empty", number: 5, servers: [])
    static let sticky = Service(
        name: "sticky", number: 6,
        settings: ["sessionAffinity: ClientIP", "sessionAffinityConfig: { clientIP: { timeoutSeconds: 2 } }"])
    /// Its only endpoint may ask it.
    static let mirror = Service(name: "mirror", number: 7, servers: [1])
    /// Internal traffic stays on the node; an endpoint is on it, or none.
    static let inside = Service(name: "inside", number: 8, settings: ["internalTrafficPolicy: Local"])
    static let nowhere = Service(
        name: "nowhere", number: 9, servers: [2, 3], settings: ["internalTrafficPolicy: Local"])

    static let services = [plain, local, away, ranges, closed, empty, sticky, mirror, inside, nowhere]

    /// - Parameter scheduler: of ipvs mode.
    static func configuration(scheduler: String = "") -> String {
        // The kernel remembers a flow of UDP for five minutes, and its client's endpoint with it.
        """
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration
        mode: iptables
        hostnameOverride: node1
        clusterCIDR: 10.180.0.0/16,fd00:10:180::/48
        ipvs: { scheduler: '\(scheduler)', udpTimeout: 1s }

        """
    }

    static func manifests(_ services: [Service] = services) -> String {
        ([nodeManifest, serviceCIDRManifest] + services.flatMap(manifests(of:))).joined(separator: "---\n")
    }

    private static let nodeManifest = """
        apiVersion: v1
        kind: Node
        metadata: { name: node1 }
        spec:
          podCIDR: 10.180.1.0/24
          podCIDRs: ['10.180.1.0/24', 'fd00:10:180:1::/64']
        status:
          addresses:
          - { type: InternalIP, address: '192.168.0.2' }
          - { type: InternalIP, address: '2001:db8::2' }
          - { type: Hostname, address: node1 }

        """

    private static let serviceCIDRManifest = """
        apiVersion: networking.k8s.io/v1
        kind: ServiceCIDR
        metadata: { name: kubernetes }
        spec: { cidrs: ['172.30.0.0/16', 'fd00:10:96::/112'] }

        """

    private static func manifests(of service: Service) -> [String] {
        let settings = service.settings.map { "\n  " + $0 }.joined()
        var status = ""
        if service.type == "LoadBalancer" {
            let ingress = service.loadBalancerIPs.map { "{ ip: '\($0)' }" }.joined(separator: ", ")
            status = "status: { loadBalancer: { ingress: [\(ingress)] } }\n"
        }
        let isInner = service.type == "ClusterIP"
        let externalIPs = isInner ? "" : "\n  externalIPs: \(quoted(service.externalIPs))"
        func nodePort(_ port: UInt16) -> String { isInner ? "" : ", nodePort: \(port)" }
        let object = """
            apiVersion: v1
            kind: Service
            metadata: { namespace: ns1, name: \(service.name) }
            spec:
              type: \(service.type)
              clusterIP: '\(service.clusterIPs[0])'
              clusterIPs: \(quoted(service.clusterIPs))
              ipFamilies: [IPv4, IPv6]
              ipFamilyPolicy: RequireDualStack\(externalIPs)\(settings)
              ports:
              - { name: tcp, protocol: TCP, port: 80, targetPort: 8080\(nodePort(service.nodePort)) }
              - { name: udp, protocol: UDP, port: 80, targetPort: 8080\(nodePort(service.nodePort)) }
              - { name: held, protocol: TCP, port: 90, targetPort: 9090\(nodePort(service.heldNodePort)) }
            \(status)
            """
        return [object] + Family.allCases.map { slice(of: service, $0) }
    }

    private static func slice(of service: Service, _ family: Family) -> String {
        let endpoints = service.servers.map { number in
            let address = family.of(servers[number - 1].addresses)
            return "\n- { addresses: ['\(address)'], conditions: { ready: true }, nodeName: node\(number) }"
        }
        let others = service.otherEndpoints.map {
            "\n- { addresses: ['\(family.of($0))'], conditions: { ready: true }, nodeName: node2 }"
        }
        return """
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata:
              namespace: ns1
              name: \(service.name)-\(family)
              labels: { kubernetes.io/service-name: \(service.name) }
            addressType: \(family == .ipv4 ? "IPv4" : "IPv6")
            endpoints:\(endpoints.isEmpty ? " []" : (endpoints + others).joined())
            ports:
            - { name: tcp, protocol: TCP, port: 8080 }
            - { name: udp, protocol: UDP, port: 8080 }
            - { name: held, protocol: TCP, port: 9090 }

            """
    }

    private static func quoted(_ words: [String]) -> String {
        "[" + words.map { "'\($0)'" }.joined(separator: ", ") + "]"
    }
}
