import ProxyCore
import TestSupport
import Testing

private let pod = "10.180.1.200"
private let node = "192.168.0.2"
private let client = "203.0.113.5"
private let stranger = "203.0.113.200"
private let loopback = "127.0.0.1"

private let clusterIP = "172.30.1.1"
private let externalIP = "192.168.99.11"
private let loadBalancerIP = "1.2.3.4"

/// One service with every kind of destination, and its endpoints: .9 on this node, the others elsewhere.
private struct Cluster {
    var endpoints = ["10.180.1.9": "node1", "10.180.0.9": "node2", "10.180.2.9": "node3"]
    var service: Service = {
        var service = Service(name: .valid("ns1", "web"))
        service.kind = .loadBalancer
        service.clusterIPs = [clusterIP].compactMap(IPAddress.init)
        service.externalIPs = [externalIP].compactMap(IPAddress.init)
        service.loadBalancerIPs = [loadBalancerIP].compactMap(IPAddress.init)
        service.ports = [.init(name: "http", protocol: .tcp, number: 80, nodePort: 31_000)]
        return service
    }()
    var mode = ProxyMode.iptables
    var configuration: ProxyConfiguration = {
        var configuration = ProxyConfiguration()
        configuration.clusterCIDRs = ["10.180.0.0/16"].compactMap { CIDR($0) }
        return configuration
    }()

    func fate(_ source: String, _ destination: String, _ port: UInt16, order: WalkOrder = .host) throws -> PacketFate {
        var slice = EndpointSlice(name: .valid("ns1", "web-a"), service: .valid("ns1", "web"), family: .ipv4)
        slice.ports = [.init(name: "http", protocol: .tcp, number: 8080)]
        slice.endpoints = try endpoints.map { address, node in
            .init(address: try #require(IPAddress(address)), nodeName: node)
        }
        var object = Node(name: "node1")
        object.internalIPs = [node].compactMap(IPAddress.init)
        let facts = HostFacts(of: object)
        let plan = NodePlan(
            configuration, mode: mode, family: .ipv4, nodeName: "node1", node: object, facts: facts)
        let plans = ServicePlanner.plans(for: service, slices: [slice], in: plan.context)
        let walk = PlanWalk(
            node: plan, plans: plans, local: LocalAddresses(facts.addresses),
            serviceRanges: ["172.30.0.0/16"].compactMap { CIDR($0) })
        let packet = Packet(
            from: try #require(IPAddress(source)), to: try #require(IPAddress(destination)), port: port, protocol: .tcp)
        return walk.fate(of: try #require(packet), order: order)
    }

    func end(_ source: String, _ destination: String, _ port: UInt16, order: WalkOrder = .host) throws -> String {
        let fate = try fate(source, destination, port, order: order)
        return fate.masquerades ? "\(fate.outcome) masqueraded" : fate.outcome
    }
}

private let all = "10.180.0.9:8080,10.180.1.9:8080,10.180.2.9:8080"
private let here = "10.180.1.9:8080"

@Suite("PlanWalk")
struct PlanWalkTests {
    @Test("a cluster IP leads to every endpoint alike; only sources that are not pods are masqueraded")
    func internalCluster() throws {
        let cluster = Cluster()
        #expect(try cluster.end(pod, clusterIP, 80) == all)
        #expect(try cluster.end(node, clusterIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(client, clusterIP, 80) == "\(all) masqueraded")
        let shares = try cluster.fate(pod, clusterIP, 80).branches.map(\.share)
        #expect(shares.count == 3 && shares.allSatisfy { abs($0 - 1 / 3) < 1e-9 })
        #expect(try cluster.end(pod, clusterIP, 81) == "-")
    }

    @Test("an endpoint that reaches itself is masqueraded, the others are not")
    func hairpin() throws {
        let fate = try Cluster().fate("10.180.1.9", clusterIP, 80)
        #expect(fate.outcome == all)
        #expect(fate.branches.map(\.source) == [.unchanged, .masqueraded, .unchanged])
    }

    @Test("masqueradeAll masquerades pods too, and without a detector nobody is masqueraded")
    func masqueradeAll() throws {
        var cluster = Cluster()
        cluster.configuration.iptables.masqueradeAll = true
        #expect(try cluster.end(pod, clusterIP, 80) == "\(all) masqueraded")
        cluster.configuration.iptables.masqueradeAll = false
        cluster.configuration.clusterCIDRs = []
        #expect(try cluster.end(client, clusterIP, 80) == all)
    }

    @Test("external destinations are masqueraded under policy Cluster", arguments: [externalIP, loadBalancerIP])
    func externalCluster(_ address: String) throws {
        for source in [pod, node, client] { #expect(try Cluster().end(source, address, 80) == "\(all) masqueraded") }
    }

    @Test("policy Local keeps a client's source, and lets pods and the node reach every endpoint")
    func externalLocal() throws {
        var cluster = Cluster()
        cluster.service.externalTrafficPolicy = .local
        for (address, port) in [(externalIP, UInt16(80)), (loadBalancerIP, 80), (node, 31_000)] {
            #expect(try cluster.end(client, address, port) == here)
            #expect(try cluster.end(pod, address, port) == all)
            #expect(try cluster.end(node, address, port) == "\(all) masqueraded")
        }
    }

    @Test("policy Local without a local endpoint drops what comes from outside, wherever it would go")
    func noLocalEndpoint() throws {
        var cluster = Cluster()
        cluster.service.externalTrafficPolicy = .local
        cluster.endpoints["10.180.1.9"] = nil
        let rest = "10.180.0.9:8080,10.180.2.9:8080"
        for (address, port) in [(externalIP, UInt16(80)), (loadBalancerIP, 80), (node, 31_000)] {
            #expect(try cluster.end(client, address, port) == "DROP")
            #expect(try cluster.end(pod, address, port) == rest)
        }
        cluster.service.internalTrafficPolicy = .local
        #expect(try cluster.end(pod, clusterIP, 80) == "DROP")
    }

    @Test("no endpoint rejects; the node asks external IPs in vain, as nothing of OUTPUT looks at them")
    func noEndpoint() throws {
        var cluster = Cluster()
        cluster.endpoints = [:]
        for source in [pod, node, client] { #expect(try cluster.end(source, clusterIP, 80) == "REJECT") }
        for source in [pod, node, client, loopback] { #expect(try cluster.end(source, node, 31_000) == "REJECT") }
        #expect(try cluster.end(client, externalIP, 80) == "REJECT")
        #expect(try cluster.end(node, externalIP, 80) == "-")
        #expect(try cluster.end(node, externalIP, 80, order: .tracer) == "REJECT")
    }

    @Test("source ranges are for load-balancer IPs alone, and admit the node by its own addresses there")
    func sourceRanges() throws {
        var cluster = Cluster()
        cluster.service.loadBalancerSourceRanges = ["203.0.113.0/25", "192.168.0.0/24"].compactMap { CIDR($0) }
        #expect(try cluster.end(client, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(pod, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(node, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(loadBalancerIP, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, externalIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, node, 31_000) == "\(all) masqueraded")
    }

    @Test("node ports are served on the addresses that the configuration names")
    func nodePorts() throws {
        var cluster = Cluster()
        #expect(try cluster.end(loopback, loopback, 31_000) == "\(all) masqueraded")
        #expect(try cluster.end(client, "192.168.0.3", 31_000) == "-")
        cluster.configuration.iptables.localhostNodePorts = false
        #expect(try cluster.end(loopback, loopback, 31_000) == "-")
        cluster.configuration.nodePortAddresses = .cidrs(["10.0.0.0/8"].compactMap { CIDR($0) })
        #expect(try cluster.end(client, node, 31_000) == "-")
    }

    @Test("the health-check port is let in on a host; the tracer asks for no address")
    func healthCheck() throws {
        var cluster = Cluster()
        cluster.service.externalTrafficPolicy = .local
        cluster.service.healthCheckNodePort = 32_001
        #expect(try cluster.end(client, node, 32_001) == "ACCEPT")
        #expect(try cluster.end(client, "192.168.0.3", 32_001) == "-")
        #expect(try cluster.end(client, "192.168.0.3", 32_001, order: .tracer) == "ACCEPT")
    }

    @Test("what comes in for an endpoint on the node's own network is not masqueraded: it passes no POSTROUTING")
    func endpointOnHostNetwork() throws {
        var cluster = Cluster()
        cluster.endpoints = [node: "node1"]
        #expect(try cluster.end(client, node, 31_000) == "\(node):8080")
        #expect(try cluster.end(client, node, 31_000, order: .tracer) == "\(node):8080 masqueraded")
        #expect(try cluster.end(pod, clusterIP, 80) == "\(node):8080")
    }

    @Test("packets of other hosts to loopback are dropped while node ports are served there")
    func loopbackGuard() throws {
        var cluster = Cluster()
        #expect(try cluster.end(client, loopback, 22) == "DROP")
        #expect(try cluster.end(loopback, loopback, 22) == "-")
        cluster.configuration.iptables.localhostNodePorts = false
        #expect(try cluster.end(client, loopback, 22) == "-")
    }

    @Test("an address of two services goes to the first that takes the packet, in the order of names")
    func twoServices() throws {
        #expect(try outcomeOfTwo(.iptables, clusterIP) == "10.180.0.9:1")
        // The first has no local endpoint and lets the packet fall through.
        #expect(try outcomeOfTwo(.iptables, externalIP) == "10.180.0.9:2")
        #expect(try outcomeOfTwo(.iptables, externalIP, local: "b", without: "a") == "REJECT")
    }
}

/// Where a client's packet ends at an address that two services have: `a` with policy Local and no endpoint here, and
/// `b`. Their endpoints have the ports 1 and 2.
///
/// - Parameter admitting: the one whose source ranges have the client; without it neither has any.
private func outcomeOfTwo(
    _ mode: ProxyMode, _ destination: String, local: String = "a", without empty: String = "",
    admitting: String? = nil
) throws -> String {
    var table = PlanTable()
    var state = ClusterState()
    var object = Node(name: "node1")
    object.internalIPs = [node].compactMap(IPAddress.init)
    let plan = NodePlan(
        ProxyConfiguration(), mode: mode, family: .ipv4, nodeName: "node1", node: object, facts: HostFacts(of: object))
    for (name, port) in [("a", UInt16(1)), ("b", 2)] {
        var service = Cluster().service
        service.name = .valid("ns1", name)
        service.externalTrafficPolicy = name == local ? .local : .cluster
        if let admitting {
            let range = name == admitting ? "203.0.113.0/25" : "198.51.100.0/24"
            service.loadBalancerSourceRanges = [range].compactMap { CIDR($0) }
        }
        var slice = EndpointSlice(name: .valid("ns1", "\(name)-1"), service: service.name, family: .ipv4)
        slice.ports = [.init(name: "http", protocol: .tcp, number: port)]
        slice.endpoints = [.init(address: try #require(IPAddress("10.180.0.9")), nodeName: "node2")]
        state.apply(.service(service))
        if name != empty { state.apply(.endpointSlice(slice)) }
    }
    _ = table.updateAll(from: state, in: plan.context)
    let walk = PlanWalk(
        node: plan, plans: table.all, local: LocalAddresses(HostFacts(of: object).addresses), serviceRanges: [])
    let packet = Packet(
        from: try #require(IPAddress(client)), to: try #require(IPAddress(destination)), port: 80, protocol: .tcp)
    return walk.fate(of: try #require(packet), order: .host).outcome
}

@Suite("PlanWalk in nftables mode")
struct NFTablesPlanWalkTests {
    private var cluster: Cluster = {
        var cluster = Cluster()
        cluster.mode = .nftables
        return cluster
    }()

    @Test("another port of a cluster IP rejects, and an address of the ranges that no service has drops")
    func otherClusterIPs() throws {
        for source in [pod, node, client] {
            #expect(try cluster.end(source, clusterIP, 81) == "REJECT")
            #expect(try cluster.end(source, "172.30.1.2", 80) == "DROP")
            #expect(try cluster.end(source, "172.31.1.1", 80) == "-")
        }
        #expect(try cluster.end(pod, clusterIP, 80) == all)
    }

    @Test("without endpoints the node is rejected at every address, and node ports reject where they are served")
    func noEndpoint() throws {
        var cluster = cluster
        cluster.endpoints = [:]
        for source in [pod, node, client] {
            for address in [clusterIP, externalIP, loadBalancerIP] {
                #expect(try cluster.end(source, address, 80) == "REJECT")
            }
            #expect(try cluster.end(source, node, 31_000) == "REJECT")
        }
        #expect(try cluster.end(loopback, loopback, 31_000) == "-")
        cluster.configuration.nodePortAddresses = .cidrs(["10.0.0.0/8"].compactMap { CIDR($0) })
        #expect(try cluster.end(client, node, 31_000) == "-")
    }

    @Test("policy Local without a local endpoint drops what comes from outside")
    func noLocalEndpoint() throws {
        var cluster = cluster
        cluster.service.externalTrafficPolicy = .local
        cluster.endpoints["10.180.1.9"] = nil
        for (address, port) in [(externalIP, UInt16(80)), (loadBalancerIP, 80), (node, 31_000)] {
            #expect(try cluster.end(client, address, port) == "DROP")
            #expect(try cluster.end(pod, address, port) == "10.180.0.9:8080,10.180.2.9:8080")
        }
    }

    @Test("source ranges hold without endpoints as well")
    func sourceRanges() throws {
        var cluster = cluster
        cluster.service.loadBalancerSourceRanges = ["203.0.113.0/25"].compactMap { CIDR($0) }
        #expect(try cluster.end(client, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(node, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(stranger, externalIP, 80) == "\(all) masqueraded")
        cluster.endpoints = [:]
        #expect(try cluster.end(client, loadBalancerIP, 80) == "REJECT")
        #expect(try cluster.end(stranger, loadBalancerIP, 80) == "DROP")
    }

    @Test("nothing is let in, and nothing is on loopback")
    func noAccept() throws {
        var cluster = cluster
        cluster.service.externalTrafficPolicy = .local
        cluster.service.healthCheckNodePort = 32_001
        #expect(try cluster.end(client, node, 32_001) == "-")
        #expect(try cluster.end(loopback, loopback, 31_000) == "-")
        #expect(try cluster.end(client, loopback, 22) == "-")
    }

    @Test("an endpoint that is an address of the ranges without a service is dropped after the translation")
    func endpointInRanges() throws {
        var cluster = cluster
        cluster.endpoints = ["172.30.200.1": "node2", "10.180.0.9": "node2"]
        #expect(try cluster.end(pod, clusterIP, 80) == "10.180.0.9:8080,DROP")
    }

    @Test("an address of two services is the last one's, by name, in each map")
    func twoServices() throws {
        #expect(try outcomeOfTwo(.nftables, clusterIP) == "10.180.0.9:2")
        #expect(try outcomeOfTwo(.nftables, externalIP) == "10.180.0.9:2")
        // What the last one cannot spread does not fall through to the first.
        #expect(try outcomeOfTwo(.nftables, externalIP, local: "b") == "DROP")
        #expect(try outcomeOfTwo(.nftables, externalIP, local: "b", without: "a") == "DROP")
        // So are the source ranges.
        #expect(try outcomeOfTwo(.nftables, loadBalancerIP, local: "", admitting: "a") == "DROP")
        #expect(try outcomeOfTwo(.nftables, loadBalancerIP, local: "", admitting: "b") == "10.180.0.9:2")
        // One without endpoints has no element in the map of services.
        #expect(try outcomeOfTwo(.nftables, externalIP, local: "", without: "b") == "10.180.0.9:1")
    }
}
