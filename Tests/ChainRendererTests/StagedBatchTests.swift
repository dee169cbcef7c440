import ChainRenderer
import ProxyCore
import TestSupport
import Testing

private let configuration: ProxyConfiguration = {
    var configuration = ProxyConfiguration()
    configuration.clusterCIDRs = [CIDR("10.0.0.0/8")].compactMap(\.self)
    return configuration
}()

private func emptyRules(_ options: IPTablesRules.Options = .init()) -> IPTablesRules {
    IPTablesRules(
        node: NodePlan(
            configuration, mode: .iptables, family: .ipv4, nodeName: "node-1", node: nil, facts: HostFacts(of: nil)),
        options: options)
}

/// A plain service with one port, and its slice with some endpoints.
private func changes(
    _ name: ObjectName, at address: String, port: UInt16, _ protocol: TransportProtocol = .tcp, endpoints: Int
) -> [ObjectChange] {
    var service = Service(name: name)
    service.clusterIPs = [address].compactMap(IPAddress.init)
    service.ports = [.init(name: "main", protocol: `protocol`, number: port)]
    var slice = EndpointSlice(name: .valid(name.namespace, name.name + "-x"), service: name, family: .ipv4)
    slice.ports = [.init(name: "main", protocol: `protocol`, number: port)]
    slice.endpoints = (0..<endpoints).map {
        .init(address: IPAddress(ipv4: 0x0c00_0000 + UInt32(port) * 256 + UInt32($0)))
    }
    return [.service(service), .endpointSlice(slice)]
}

private let apiServer = ObjectName.valid("default", "kubernetes")
private let clusterDNS = ObjectName.valid("kube-system", "kube-dns")

/// 200 services, among them the essential ones and one without endpoints.
private func cluster() -> ClusterState {
    var state = ClusterState()
    for change in LargeCluster(services: 200, endpointsEach: 10).changes { state.apply(change) }
    for change in changes(apiServer, at: "172.31.0.1", port: 443, endpoints: 3)
        + changes(clusterDNS, at: "172.31.0.10", port: 53, .udp, endpoints: 2)
        + changes(.valid("kube-system", "metrics"), at: "172.31.0.11", port: 9153, endpoints: 1)
        + changes(.valid("a", "down"), at: "172.31.0.12", port: 80, endpoints: 0)
    {
        state.apply(change)
    }
    return state
}

private func fate(_ rules: RuleSet, to address: String, _ port: UInt16, _ protocol: TransportProtocol) throws
    -> PacketFate
{
    let source = try #require(IPAddress("10.0.3.1"))
    let destination = try #require(IPAddress(address))
    let packet = try #require(Packet(from: source, to: destination, port: port, protocol: `protocol`))
    return RuleWalk(rules, local: LocalAddresses(HostFacts(of: nil).addresses)).walk(packet, order: .tracer).fate
}

@Suite("Batches in stages")
struct StagedBatchTests {
    @Test("serve the API server and the cluster DNS first, and reject nothing before all is there")
    func essential() throws {
        var state = cluster()
        var rules = emptyRules()
        rules.update(state.takeTouched(), from: state)
        let batch = try #require(rules.essentialBatch())
        let first = try RuleSet(wanted: batch)
        let whole = try RuleSet(wanted: rules.fullBatch())
        #expect(batch.jumps == rules.fullBatch().jumps)
        for (address, port, transport) in [("172.31.0.1", 443, TransportProtocol.tcp), ("172.31.0.10", 53, .udp)] {
            let served = try fate(first, to: address, UInt16(port), transport)
            #expect(try served == fate(whole, to: address, UInt16(port), transport))
            #expect(served.branches.count > 1)
        }
        for (address, port) in [("172.30.0.1", 80), ("172.31.0.11", 9153), ("172.31.0.12", 80), ("192.0.2.1", 80)] {
            let passing = try fate(.empty(.ipv4), to: address, UInt16(port), .tcp)
            #expect(try fate(first, to: address, UInt16(port), .tcp) == passing)
            #expect(try (fate(whole, to: address, UInt16(port), .tcp) == passing) == (address == "192.0.2.1"))
        }
    }

    @Test("never lose an essential service while the others are loaded")
    func nothingLost() throws {
        var state = cluster()
        var rules = emptyRules()
        rules.update(state.takeTouched(), from: state)
        var tables = SimulatedTables()
        try tables.apply(#require(rules.essentialBatch()))
        let served = try fate(RuleSet(parsing: tables.text, family: .ipv4), to: "172.31.0.1", 443, .tcp)
        #expect(served.branches.count == 3)
        let batches = rules.nextBatches(chainLimit: 200)
        #expect(batches.count > 10)
        let start = String(decoding: batches[0].text, as: UTF8.self)
        #expect(start.contains("default/kubernetes:main") && start.contains("kube-system/kube-dns:main"))
        for batch in batches {
            try tables.apply(batch)
            tables.removeUndeclared(batch)
            let now = try RuleSet(parsing: tables.text, family: .ipv4)
            #expect(try fate(now, to: "172.31.0.1", 443, .tcp) == served)
        }
        var expected = SimulatedTables()
        try expected.apply(rules.fullBatch())
        #expect(tables == expected)
    }

    @Test("are one where the cluster is small")
    func small() {
        var state = ClusterState()
        for change in changes(apiServer, at: "172.31.0.1", port: 443, endpoints: 3) { state.apply(change) }
        var rules = emptyRules()
        rules.update(state.takeTouched(), from: state)
        #expect(rules.essentialBatch() == nil)
        #expect(rules.nextBatches(chainLimit: 1000).count == 1)
    }

    @Test("hold a bounded number of chains each, and end in the tables of one input", arguments: 1...20)
    func bounded(_ seed: UInt64) throws {
        var objects = RandomObjects(seed: seed)
        var state = ClusterState()
        var rules = emptyRules()
        var tables = SimulatedTables()
        var most = 0
        for round in 0..<12 {
            for _ in 0..<objects.generator.pick([1, 3, 60]) { state.apply(objects.change()) }
            rules.update(state.takeTouched(), from: state)
            let batches = rules.nextBatches(chainLimit: 10)
            if round > 0 { most = max(most, batches.count) }
            for batch in batches {
                try tables.apply(batch)
                tables.removeUndeclared(batch)
                #expect(tables.danglingJumps().isEmpty)
                let declared = String(decoding: batch.text, as: UTF8.self).split(separator: "\n")
                    .filter { $0.hasPrefix(":KUBE-S") && !$0.hasPrefix(":KUBE-SERVICES") }
                // A service port's chains are never divided; none here has more than this.
                #expect(declared.count <= 30)
            }
            rules.didCommit()
            #expect(rules.nextBatches(chainLimit: 10).isEmpty)
            var expected = SimulatedTables()
            try expected.apply(rules.fullBatch())
            #expect(tables == expected, "round \(round)")
        }
        #expect(most > 2)
    }

    @Test("bring everything after a failure")
    func failure() {
        var state = cluster()
        var rules = emptyRules()
        rules.update(state.takeTouched(), from: state)
        rules.didCommit()
        #expect(rules.nextBatches(chainLimit: 1000).isEmpty)
        rules.didFail()
        #expect(rules.nextBatches(chainLimit: 1000) == rules.fullBatches(chainLimit: 1000))
    }
}

@Suite("The threshold of comments")
struct CommentThresholdTests {
    /// The services whose chains are written when the number of endpoints goes from one to the other.
    private func written(_ counts: [Int], slack: Int) -> (last: Int, hasComments: Bool) {
        var state = ClusterState()
        for change in LargeCluster(services: 3, endpointsEach: 2).changes { state.apply(change) }
        state.apply(.service(RandomObjects.floodService))
        var rules = emptyRules(.init(commentSlack: slack))
        var last = 0
        for count in counts {
            state.apply(.endpointSlice(RandomObjects.floodSlice(count - 6)))
            rules.update(state.takeTouched(), from: state)
            let text = rules.nextBatches(chainLimit: 1000).map { String(decoding: $0.text, as: UTF8.self) }.joined()
            last = text.split(separator: "\n").filter { $0.hasPrefix(":KUBE-SVC-") }.count
            rules.didCommit()
        }
        return (last, String(decoding: rules.fullBatch().text, as: UTF8.self).contains("big/flood -> 11.0.0.0:9000"))
    }

    @Test("is crossed each time without slack, and everything is written")
    func withoutSlack() {
        #expect(written([1000, 1001], slack: 0) == (4, false))
        #expect(written([1000, 1001, 1000], slack: 0) == (4, true))
    }

    @Test("with slack is crossed downwards only below it, and what lies between writes one service")
    func withSlack() {
        #expect(written([1000, 1001], slack: 100) == (4, false))
        #expect(written([1000, 1001, 1000], slack: 100) == (1, false))
        #expect(written([1000, 1001, 1000, 901], slack: 100) == (1, false))
        #expect(written([1000, 1001, 1000, 901, 900], slack: 100) == (4, true))
        #expect(written([1000, 1001, 900, 1000], slack: 100) == (1, true))
    }
}
