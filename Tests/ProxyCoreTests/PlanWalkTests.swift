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
            configuration, mode: .iptables, family: .ipv4, nodeName: "node1", node: object, facts: facts)
        let plans = ServicePlanner.plans(for: service, slices: [slice], in: plan.context)
        let walk = PlanWalk(node: plan, plans: plans, local: LocalAddresses(facts.addresses))
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
        var table = PlanTable()
        var state = ClusterState()
        var object = Node(name: "node1")
        object.internalIPs = [node].compactMap(IPAddress.init)
        let plan = NodePlan(
            ProxyConfiguration(), mode: .iptables, family: .ipv4, nodeName: "node1", node: object,
            facts: HostFacts(of: object))
        for (name, policy) in [("a", Service.TrafficPolicy.local), ("b", .cluster)] {
            var service = Cluster().service
            service.name = .valid("ns1", name)
            service.externalTrafficPolicy = policy
            var slice = EndpointSlice(name: .valid("ns1", "\(name)-1"), service: service.name, family: .ipv4)
            slice.ports = [.init(name: "http", protocol: .tcp, number: name == "a" ? 1 : 2)]
            slice.endpoints = [.init(address: try #require(IPAddress("10.180.0.9")), nodeName: "node2")]
            state.apply(.service(service))
            state.apply(.endpointSlice(slice))
        }
        _ = table.updateAll(from: state, in: plan.context)
        let walk = PlanWalk(node: plan, plans: table.all, local: LocalAddresses(HostFacts(of: object).addresses))
        func outcome(_ source: String, _ destination: String) throws -> String {
            let packet = Packet(
                from: try #require(IPAddress(source)), to: try #require(IPAddress(destination)), port: 80,
                protocol: .tcp)
            return walk.fate(of: try #require(packet), order: .host).outcome
        }
        #expect(try outcome(client, clusterIP) == "10.180.0.9:1")
        // The first has no local endpoint and lets the packet fall through.
        #expect(try outcome(client, externalIP) == "10.180.0.9:2")
    }
}

@Suite("FlowTable")
struct FlowTableTests {
    @Test("writes rows as they were read, with the ends filled in")
    func rows() throws {
        let rows = try FlowTable.read(
            "# source\n10.0.0.1\tudp\t172.30.0.10\t53\n\n::1\tsctp\t::1\t9\t-\tfalse\n", name: "t")
        #expect(rows.map(\.packet.protocol) == [.udp, .sctp])
        #expect(rows.map(\.outcome) == [nil, "-"])
        let fate = PacketFate([.init(.drop, share: 1)])
        #expect(
            rows.map { $0.line(fate) } == [
                "10.0.0.1\tudp\t172.30.0.10\t53\tDROP\tfalse\n", "::1\tsctp\t::1\t9\tDROP\tfalse\n",
            ])
    }

    @Test("tells every fault with its line")
    func faults() {
        let table =
            "10.0.0.1 udp 172.30.0.10 53\n10.0.0.1\ticmp\t1.1.1.1\t1\nx\ttcp\t1.1.1.1\t1\n1.1.1.1\ttcp\ty\t1\n"
            + "1.1.1.1\ttcp\t::1\t1\n1.1.1.1\ttcp\t1.1.1.1\t0\n"
        let error = #expect(throws: InputError.self) { try FlowTable.read(table, name: "t") }
        #expect(
            error?.description == """
                t:1: error: a row needs source, protocol, destination and port, with tabs between them
                t:2: error: protocol "icmp": not tcp, udp or sctp
                t:3: error: source "x": not an IP address
                t:4: error: destination "y": not an IP address
                t:5: error: source 1.1.1.1 and destination ::1 are of different families
                t:6: error: port "0": not a number from 1 to 65535
                """)
    }

    @Test("a fate names each end once, in the order of texts, and adds shares up")
    func fates() throws {
        let one = PacketFate.End.endpoint(try #require(IPAddress("10.0.0.9")), port: 80)
        let two = PacketFate.End.endpoint(try #require(IPAddress("fd00::1")), port: 80)
        let fate = PacketFate([
            .init(two, share: 0.25), .init(one, share: 0.25, source: .masqueraded), .init(two, share: 0.25),
            .init(one, share: 0.25),
        ])
        #expect(fate.outcome == "10.0.0.9:80,[fd00::1]:80")
        #expect(fate.branches.map(\.share) == [0.25, 0.25, 0.5])
        #expect(fate.masquerades)
    }
}
