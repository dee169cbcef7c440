import TestSupport
import Testing

@testable import ProxyCore

/// A flow and whether it is to be deleted.
private struct FlowCase: CustomTestStringConvertible, Sendable {
    let flow: String
    let isStale: Bool
    let why: String

    init(_ flow: String, _ isStale: Bool, _ why: String) {
        self.flow = flow
        self.isStale = isStale
        self.why = why
    }

    var testDescription: String { why }

    static let ipv4 = [
        FlowCase("172.30.0.10 53 > 10.0.0.1 5353", false, "to a ready endpoint"),
        FlowCase("172.30.0.10 53 > 10.0.0.2 5353", false, "to an endpoint that serves while it terminates"),
        FlowCase("172.30.0.10 53 > 10.0.0.3 5353", true, "to one that terminates and serves no more"),
        FlowCase("172.30.0.10 53 > 10.0.0.4 5353", false, "to one that is published without being ready"),
        FlowCase("172.30.0.10 53 > 10.0.0.9 5353", true, "to an endpoint that is gone"),
        FlowCase("172.30.0.10 53 > 10.0.0.1 53", true, "to a former target port"),
        FlowCase("172.30.0.10 53", true, "to a cluster IP, begun before the service was there"),
        FlowCase("172.30.0.10 54 > 10.0.0.1 5353", true, "to a port of a cluster IP that the service lost"),
        FlowCase("172.30.0.10 54", false, "to a port of a cluster IP that nobody translates"),
        FlowCase("192.168.99.10 53 > 10.0.0.1 5353", false, "by an external IP to an endpoint"),
        FlowCase("192.168.99.10 53 > 10.0.0.9 5353", true, "by an external IP to an endpoint that is gone"),
        FlowCase("1.2.3.4 53 > 10.0.0.9 5353", true, "by a load-balancer IP to an endpoint that is gone"),
        FlowCase("1.2.3.4 53", true, "to a load-balancer IP, begun before the service was there"),
        FlowCase("192.0.2.1 30053 > 10.0.0.1 5353", false, "by a node port to an endpoint"),
        FlowCase("192.0.2.1 30053 > 10.0.0.9 5353", true, "by a node port to an endpoint that is gone"),
        FlowCase("192.0.2.1 30053", true, "to a node port, begun before the service was there"),
        FlowCase("198.51.100.7 30053 > 10.0.0.9 5353", false, "to the port of a node port, through this node"),
        FlowCase("198.51.100.7 30053", false, "to the node port of another node"),
        FlowCase("172.30.0.11 53 > 10.0.0.1 5353", true, "to a service without endpoints"),
        FlowCase("172.30.0.11 53", true, "to a service without endpoints, not translated"),
        FlowCase("192.0.2.1 30054 > 10.0.0.1 5353", true, "by a node port without endpoints to a former one"),
        FlowCase("192.0.2.1 30054", false, "to a program of the node, on a node port without endpoints"),
        FlowCase("192.0.2.1 53", false, "to a program of the node"),
        FlowCase("192.0.2.1 8053 > 10.0.0.1 5353", false, "to a node's address, translated by somebody else"),
        FlowCase("172.30.7.7 53 > 10.0.0.1 5353", true, "to a cluster IP that nobody has any more"),
        FlowCase("172.30.7.7 53", false, "to a cluster IP that nobody has, not translated"),
        FlowCase("8.8.8.8 53", false, "to the world"),
        FlowCase("8.8.8.8 53 > 10.0.0.9 5353", false, "to the world, translated by somebody else"),
        FlowCase("10.0.0.9 5353", false, "to a pod"),
    ]

    static let ipv6 = [
        FlowCase("fd00:10:96::a 53 > fd00::1 5353", false, "to an endpoint"),
        FlowCase("fd00:10:96::a 53 > fd00::9 5353", true, "to an endpoint that is gone"),
        FlowCase("fd00:10:96::a 53", true, "to a cluster IP, begun before the service was there"),
        FlowCase("2001:db8::1 30053 > fd00::9 5353", true, "by a node port to an endpoint that is gone"),
        FlowCase("::1 30053 > fd00::9 5353", false, "to the loopback address, which serves no node port"),
        FlowCase("fd00:10:96::7 53 > fd00::1 5353", true, "to a cluster IP that nobody has any more"),
    ]
}

@Suite("FlowQuery")
struct FlowQueryTests {
    @Test("a flow over IPv4 is judged by where it was sent and where that leads now", arguments: FlowCase.ipv4)
    private func judged(_ flowCase: FlowCase) throws {
        var lab = FlowLab()
        var dns = udpService("dns", "172.30.0.10", nodePort: 30053)
        dns.externalIPs = [IPAddress("192.168.99.10")].compactMap(\.self)
        dns.loadBalancerIPs = [IPAddress("1.2.3.4")].compactMap(\.self)
        dns.ports.append(.init(name: "dns", protocol: .tcp, number: 54))
        let slice = udpSlice(
            "dns", "10.0.0.1",
            others: [
                ("10.0.0.2", [.serving, .terminating]), ("10.0.0.3", [.terminating]), ("10.0.0.4", [.ready]),
            ])
        let empty = udpService("empty", "172.30.0.11", nodePort: 30054)
        lab.update(.service(dns), .endpointSlice(slice), .service(empty))
        let query = try lab.someQuery(ranges: "172.30.0.0/16", "fd00:10:96::/112")
        #expect(query.isStale(try flow(flowCase.flow)) == flowCase.isStale)
    }

    @Test("so is one over IPv6", arguments: FlowCase.ipv6)
    private func judgedIPv6(_ flowCase: FlowCase) throws {
        var lab = FlowLab(.ipv6)
        var dns = udpService("dns", "fd00:10:96::a", nodePort: 30053)
        dns.clusterIPs.append(try #require(IPAddress("172.30.0.10")))
        lab.update(
            .service(dns), .endpointSlice(udpSlice("dns", "fd00::1")))
        let query = try lab.someQuery(ranges: "172.30.0.0/16", "fd00:10:96::/112")
        #expect(query.isStale(try flow(flowCase.flow)) == flowCase.isStale)
    }

    @Test("services that are not this proxy's, and TCP ports, claim nothing")
    func unclaimed() throws {
        var lab = FlowLab()
        var other = udpService("other", "172.30.0.12")
        other.isForAnotherProxy = true
        var tcp = udpService("tcp", "172.30.0.13")
        tcp.ports[0].protocol = .tcp
        var headless = udpService("headless", "172.30.0.14")
        headless.clusterIPs = []
        headless.externalIPs = [IPAddress("192.168.99.14")].compactMap(\.self)
        lab.update(.service(other), .service(tcp), .service(headless))
        #expect(try lab.someQuery().claims.isEmpty)
    }

    @Test("node ports are served on the addresses that the configuration chooses")
    func scope() throws {
        var node = Node(name: "node1")
        node.internalIPs = ["192.0.2.1", "192.0.2.2"].compactMap(IPAddress.init)
        var configuration = ProxyConfiguration()
        configuration.nodePortAddresses = .cidrs(["192.0.2.2/32"].compactMap(CIDR.init))
        let plan = NodePlan(
            configuration, mode: .iptables, family: .ipv4, nodeName: "node1", node: node, facts: HostFacts(of: node))
        let addresses = plan.nodePortAddresses(among: HostFacts(of: node).addresses)
        #expect(addresses == Set([IPAddress("192.0.2.2")].compactMap(\.self)))
    }
}
