import GoldenSupport
import IPVSBackend
import ProxyCore
import TestSupport
import Testing

/// What is done to a kernel that has all that is wanted, and what is to be said of it.
private struct Damage: CustomTestStringConvertible {
    var testDescription: String
    var expected: [String]
    var inflict: @Sendable (inout IPVSKernelState) -> Void

    init(_ name: String, _ expected: [String], _ inflict: @escaping @Sendable (inout IPVSKernelState) -> Void) {
        testDescription = name
        self.expected = expected
        self.inflict = inflict
    }

    static let clusterIP = VirtualServer.Key(IPAddress(ipv4: 0xac1e_0101), .tcp, 80)
    static let loadBalancer = VirtualServer.Key(IPAddress(ipv4: 0x0102_0304), .tcp, 80)
    static let nodePort = VirtualServer.Key(IPAddress(ipv4: 0xc0a8_0002), .tcp, 31000)
    static let endpoint = RealServer(IPAddress(ipv4: 0x0ab4_0109), 8080)
    static let other = RealServer(IPAddress(ipv4: 0x0ab4_0501), 8080)

    static func realServer(weight: Int = 1, connections: Int = 0) -> FoundRealServer {
        .init(
            forwarding: .masquerading, weight: weight, activeConnections: connections, inactiveConnections: 0,
            persistentConnections: 0)
    }

    static func server(_ realServers: [RealServer: FoundRealServer]) -> FoundVirtualServer {
        .init(
            scheduler: IPVSScheduler("wlc"), flags: [], persistenceSeconds: 0, persistencePrefixLength: 32,
            realServers: realServers)
    }

    /// The cluster has one service port, with a cluster IP, a load-balancer IP and a node port.
    static let all = servers + realServers + others

    private static let servers = [
        Damage(
            "a virtual server gone",
            [
                "missing: tcp 172.30.1.1:80 (ns1/web:http): the virtual server is not there: "
                    + "-A -t 172.30.1.1:80 -s rr -p 10800; -a -t 172.30.1.1:80 -r 10.180.0.9:8080 -m -w 1; "
                    + "-a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 1; -a -t 172.30.1.1:80 -r 10.180.2.9:8080 -m -w 1"
            ]
        ) { $0.servers[clusterIP] = nil },
        Damage("all virtual servers gone", ["missing: all virtual servers: nothing of 3 virtual servers is there"]) {
            $0.servers = [:]
        },
        Damage(
            "another scheduler, time and mask",
            [
                "changed: tcp 1.2.3.4:80 (ns1/web:http): -A -t 1.2.3.4:80 -s rr -p 10800; "
                    + "-A -t 1.2.3.4:80 -s wrr -p 300 -M /24"
            ]
        ) { state in
            state.servers[loadBalancer]?.scheduler = IPVSScheduler("wrr")
            state.servers[loadBalancer]?.persistenceSeconds = 300
            state.servers[loadBalancer]?.persistencePrefixLength = 24
        },
        Damage(
            "other flags",
            [
                "changed: tcp 1.2.3.4:80 (ns1/web:http): -A -t 1.2.3.4:80 -s rr -p 10800; "
                    + "-A -t 1.2.3.4:80 -s rr -b flag-2 (flags 0x4)"
            ]
        ) { $0.servers[loadBalancer]?.flags = [.countsClientPort, .init(rawValue: 4)] },
        Damage(
            "virtual servers of ours left behind",
            [
                "unexpected: tcp 172.30.1.1:81: the virtual server is not wanted: -A -t 172.30.1.1:81 -s wlc",
                "unexpected: udp 172.30.1.1:81: the virtual server is not wanted: -A -u 172.30.1.1:81 -s wlc; "
                    + "-a -u 172.30.1.1:81 -r 10.180.5.1:8080 -m -w 0",
                "unexpected: tcp 172.30.1.1:82: the virtual server is not wanted: -A -t 172.30.1.1:82 -s wlc; "
                    + "-a -t 172.30.1.1:82 -r 10.180.1.9:8080 -m -w 1; -a -t 172.30.1.1:82 -r 10.180.5.1:8080 -m -w 0",
            ]
        ) { state in
            let address = clusterIP.address
            state.servers[.init(address, .tcp, 81)] = server([:])
            state.servers[.init(address, .udp, 81)] = server([other: realServer(weight: 0, connections: 1)])
            state.servers[.init(address, .tcp, 82)] = server([
                other: realServer(weight: 0, connections: 1), endpoint: realServer(),
            ])
        },
    ]

    private static let realServers = [
        Damage(
            "a real server gone",
            ["missing: tcp 172.30.1.1:80 (ns1/web:http): -a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 1"]
        ) { $0.servers[clusterIP]?.realServers[endpoint] = nil },
        Damage(
            "another weight and another way",
            [
                "changed: tcp 172.30.1.1:80 (ns1/web:http): -a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 1; "
                    + "-a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 0",
                "changed: tcp 192.168.0.2:31000 (ns1/web:http): "
                    + "-a -t 192.168.0.2:31000 -r 10.180.1.9:8080 -m -w 1; "
                    + "-a -t 192.168.0.2:31000 -r 10.180.1.9:8080 -g -w 1",
            ]
        ) { state in
            state.servers[clusterIP]?.realServers[endpoint]?.weight = 0
            state.servers[nodePort]?.realServers[endpoint]?.forwarding = .directRouting
        },
        Damage(
            "a real server that is not wanted",
            ["unexpected: tcp 172.30.1.1:80 (ns1/web:http): -a -t 172.30.1.1:80 -r 10.180.5.1:8080 -m -w 1"]
        ) { $0.servers[clusterIP]?.realServers[other] = realServer() },
        Damage(
            "one real server in the place of another",
            [
                "missing: tcp 172.30.1.1:80 (ns1/web:http): -a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 1",
                "unexpected: tcp 172.30.1.1:80 (ns1/web:http): -a -t 172.30.1.1:80 -r 10.180.5.1:8080 -m -w 1",
            ]
        ) { state in
            state.servers[clusterIP]?.realServers[endpoint] = nil
            state.servers[clusterIP]?.realServers[other] = realServer()
        },
    ]

    private static let others = [
        Damage(
            "entries gone and more than wanted",
            [
                "missing: KUBE-CLUSTER-IP (ns1/web:http): add KUBE-CLUSTER-IP 172.30.1.1,tcp:80",
                "unexpected: KUBE-LOOP-BACK: 1 entry of a form that no service has",
                "unexpected: KUBE-NODE-PORT-UDP: add KUBE-NODE-PORT-UDP 53",
            ]
        ) { state in
            state.sets[.clusterIPs]?.entries = []
            state.sets[.udpNodePorts]?.entries.insert(.port(53))
            state.sets[.hairpins]?.unknownEntryCount = 1
        },
        Damage(
            "sets gone and of another form",
            [
                "changed: KUBE-IPVS-IPS: create KUBE-IPVS-IPS hash:ip family inet hashsize 1024 maxelem 65536; "
                    + "create KUBE-IPVS-IPS hash:ip family inet maxelem 10 timeout 60",
                "missing: KUBE-LOAD-BALANCER: the set is not there; it has 1 entry: "
                    + "create KUBE-LOAD-BALANCER hash:ip,port family inet hashsize 1024 maxelem 65536",
                "changed: KUBE-NODE-PORT-TCP: create KUBE-NODE-PORT-TCP bitmap:port range 0-65535; "
                    + "create KUBE-NODE-PORT-TCP bitmap:port range 0-100",
            ]
        ) { state in
            state.sets[.loadBalancerIPs] = nil
            state.sets[.serviceAddresses]?.header.maximumSize = 10
            state.sets[.serviceAddresses]?.header.timeout = 60
            state.sets[.tcpNodePorts]?.header.ports = 0...100
        },
        Damage("all sets gone", ["missing: all sets: none of the 17 sets is there"]) { $0.sets = [:] },
        Damage("an address gone", ["missing: kube-ipvs0 (ns1/web:http): 1.2.3.4"]) {
            $0.addresses?.remove(loadBalancer.address)
        },
        Damage("an address that is not wanted", ["unexpected: kube-ipvs0: 10.180.5.1"]) {
            $0.addresses?.insert(other.address)
        },
        Damage(
            "many addresses that are not wanted",
            ["unexpected: kube-ipvs0: 8 addresses: 0.0.0.0; 0.0.0.1; 0.0.0.2; 0.0.0.3; 0.0.0.4; 0.0.0.5"]
        ) { $0.addresses?.formUnion((0..<8).map { IPAddress(ipv4: $0) }) },
        Damage("the device gone", ["missing: kube-ipvs0: the device is not there; it has 2 addresses"]) {
            $0.addresses = nil
        },
    ]
}

@Suite("What differs in a kernel from what ipvs mode wants")
struct IPVSDifferenceTests {
    private func settled(_ table: IPVSTable) throws -> IPVSKernelState {
        var model = KernelModel(table.settings.node.family)
        try model.commit(table.batch(from: model.state))
        return model.state
    }

    @Test("is nothing after a commit of any golden cluster, and everything before it", arguments: IPFamily.allCases)
    func clusters(_ family: IPFamily) throws {
        for golden in GoldenCase.all {
            let table = try golden.ipvsTable(family)
            #expect(table.differences(from: try settled(table)) == [], "\(golden)")
            let places = table.differences(from: IPVSKernelState()).map(\.place)
            let servers = Array(table.virtualServers.keys)
            let expected: IPVSDifference.Place? =
                servers.count > 1 ? .allServers : servers.first.map { .server($0) }
            #expect(places == [expected, .allSets, .device].compactMap(\.self), "\(golden)")
        }
    }

    @Test("is named once, with the service port that wants it", arguments: Damage.all)
    private func damage(_ damage: Damage) throws {
        let table = try GoldenCase.named("affinity").ipvsTable(.ipv4)
        var state = try settled(table)
        damage.inflict(&state)
        #expect(table.differences(from: state).map(\.description) == damage.expected)
        // And a commit mends it.
        var model = KernelModel(.ipv4)
        model.state = state
        try model.commit(table.batch(from: model.state))
        #expect(table.differences(from: model.state) == [])
    }

    @Test("is what differs in IPv6 as well, under the names that its sets have")
    func ipv6() throws {
        let table = try GoldenCase.named("dual-stack").ipvsTable(.ipv6)
        var state = try settled(table)
        let entry = try #require(table.entries(.clusterIPs).first)
        state.sets[.clusterIPs]?.entries.remove(entry)
        #expect(table.differences(from: state).map(\.wanted) == [["add KUBE-6-CLUSTER-IP \(entry.text)"]])
    }

    // MARK: What is no difference

    private static let gone = IPAddress(ipv4: 0xac1e_0909)

    /// A service that was there before: its cluster IP and its node port.
    private func drain(_ state: inout IPVSKernelState, _ realServers: [RealServer: FoundRealServer]) {
        let port: UInt16 = 31999
        state.servers[.init(Self.gone, .tcp, 80)] = Damage.server(realServers)
        state.addresses?.insert(Self.gone)
        state.sets[.serviceAddresses]?.entries.insert(.address(Self.gone))
        state.servers[.init(Damage.nodePort.address, .tcp, port)] = Damage.server(realServers)
        state.sets[.tcpNodePorts]?.entries.insert(.port(port))
    }

    @Test("is nothing that is being drained: real servers of weight 0, and what stands around their virtual servers")
    func draining() throws {
        let table = try GoldenCase.named("affinity").ipvsTable(.ipv4)
        var state = try settled(table)
        let drained = Damage.realServer(weight: 0, connections: 2)
        state.servers[Damage.clusterIP]?.realServers[Damage.other] = drained
        drain(&state, [Damage.other: drained, Damage.endpoint: Damage.realServer(weight: 0)])
        #expect(table.differences(from: state) == [])
        // What is around it, elsewhere.
        state.sets[.clusterIPs]?.entries.insert(.addressAndPort(.init(Self.gone, .tcp, 80)))
        state.sets[.localTCPNodePorts]?.entries.insert(.port(31999))
        #expect(
            table.differences(from: state).map(\.found) == [
                ["add KUBE-CLUSTER-IP 172.30.9.9,tcp:80"], ["add KUBE-NODE-PORT-LOCAL-TCP 31999"],
            ])
    }

    @Test("is what stands around a virtual server of which one real server is still used")
    func notDrained() throws {
        let table = try GoldenCase.named("affinity").ipvsTable(.ipv4)
        var state = try settled(table)
        drain(
            &state, [Damage.other: Damage.realServer(weight: 0, connections: 2), Damage.endpoint: Damage.realServer()])
        #expect(
            table.differences(from: state).map(\.found.first) == [
                "-A -t 172.30.9.9:80 -s wlc", "-A -t 192.168.0.2:31999 -s wlc", "add KUBE-IPVS-IPS 172.30.9.9",
                "add KUBE-NODE-PORT-TCP 31999", "172.30.9.9",
            ])
    }

    @Test("is nothing foreign: other addresses, other ports of the node, excluded ranges")
    func foreign() throws {
        // Its configuration excludes a range.
        let table = try GoldenCase.named("ipvs-scheduler-mh-exclude").ipvsTable(.ipv4)
        let range = try #require(table.settings.excludedRanges.first { $0.family == .ipv4 })
        var state = try settled(table)
        let node = try #require(table.settings.nodeAddresses.first)
        let foreign = Damage.server([Damage.other: Damage.realServer()])
        state.servers[.init(range.base, .tcp, 80)] = foreign
        state.servers[.init(IPAddress(ipv4: 0x0909_0909), .tcp, 80)] = foreign
        state.servers[.init(node, .tcp, 8443)] = foreign
        #expect(table.differences(from: state) == [])
        // An address of the range would be ours without it.
        state.addresses?.insert(range.base)
        #expect(table.differences(from: state).map(\.description) == ["unexpected: kube-ipvs0: \(range.base)"])
    }
}
