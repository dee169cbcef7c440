import GoldenSupport
import IPVSBackend
import ProxyCore
import TestSupport
import Testing

@Suite("From what a kernel has to what is wanted")
struct IPVSBatchTests {
    /// True if nothing is to be done.
    private func isSettled(_ batch: IPVSBatch) -> Bool {
        batch.replacedSets.isEmpty && batch.addedEntries.isEmpty && batch.serverChanges.isEmpty
            && batch.addedAddresses.isEmpty && batch.serverRemovals.isEmpty && batch.removedAddresses.isEmpty
            && batch.removedEntries.isEmpty
    }

    private func expect(_ model: KernelModel, has table: IPVSTable) {
        let wanted = table.virtualServers
        #expect(Set(model.state.servers.keys).symmetricDifference(wanted.keys).map { "\($0.address) \($0.port)" } == [])
        for (key, server) in wanted {
            let found = model.state.servers[key]
            #expect(found?.hasOptions(of: server, model.family) == true)
            #expect(Set((found?.realServers ?? [:]).filter { $0.value.weight == 1 }.keys) == Set(server.realServers))
        }
        #expect(model.state.addresses == Set(table.addresses))
        for set in IPSet.allCases { #expect(model.state.sets[set]?.entries == Set(table.entries(set))) }
    }

    @Test(
        "every golden cluster after another: nothing is refused, no service is without endpoints, and soon all is done",
        arguments: IPFamily.allCases)
    func goldenClusters(_ family: IPFamily) throws {
        var model = KernelModel(family)
        for golden in GoldenCase.all {
            let table = try golden.ipvsTable(family)
            let before = model.state.servers
            let wanted = table.virtualServers
            let lasting = wanted.filter { key, server in
                !server.realServers.isEmpty && before[key]?.realServers.isEmpty == false
            }
            try model.commit(table.batch(from: model.state)) { state in
                for key in lasting.keys
                where state.servers[key]?.realServers.contains(where: { $0.value.weight > 0 }) != true {
                    Issue.record("\(golden.testDescription): \(key) has no endpoint for a moment")
                }
            }
            // What was given weight 0 has no connections.
            try model.commit(table.batch(from: model.state))
            // At an address that the node had in another cluster, one without real servers could be anybody's.
            let known = table.settings.nodeAddresses.union(table.addresses)
            model.state.servers = model.state.servers.filter {
                known.contains($0.key.address) || !$0.value.realServers.isEmpty
            }
            expect(model, has: table)
            #expect(isSettled(table.batch(from: model.state)))
        }
    }

    private static let address = IPAddress(ipv4: 0xac1e_0101)
    private static let node = IPAddress(ipv4: 0xc0a8_0002)
    private static let endpoints = [IPAddress(ipv4: 0x0ab4_0109), IPAddress(ipv4: 0x0ab4_0209)]

    private func table(
        _ transport: TransportProtocol = .tcp, endpoints: [IPAddress]? = Self.endpoints,
        node address: IPAddress = Self.node, configure: (inout ProxyConfiguration) -> Void = { _ in }
    ) throws -> IPVSTable {
        var configuration = ProxyConfiguration()
        configure(&configuration)
        var node = Node(name: "node1")
        node.internalIPs = [address]
        let facts = HostFacts(of: node)
        let plan = NodePlan(
            configuration, mode: .ipvs, family: .ipv4, nodeName: "node1", node: node, facts: facts)
        var table = IPVSTable(IPVSSettings(plan, configuration.ipvs, facts: facts))
        guard let endpoints else { return table }
        var service = Service(name: .valid("ns1", "web"))
        service.clusterIPs = [Self.address]
        service.ports = [.init(name: "", protocol: transport, number: 80, nodePort: 31000)]
        var slice = EndpointSlice(name: .valid("ns1", "web"), service: service.name, family: .ipv4)
        slice.ports = [.init(name: "", protocol: transport, number: 8080)]
        slice.endpoints = endpoints.map { .init(address: $0) }
        table.update(.init(changed: ServicePlanner.plans(for: service, slices: [slice], in: plan.context)))
        return table
    }

    private func key(_ transport: TransportProtocol = .tcp) -> VirtualServer.Key {
        .init(Self.address, transport, 80)
    }

    @Test("a TCP endpoint that goes keeps its connections, gets no new ones, and is deleted when they have ended")
    func drain() throws {
        var model = KernelModel(.ipv4)
        try model.commit(try table().batch(from: model.state))
        let going = RealServer(Self.endpoints[1], 8080)
        model.state.servers[key()]?.realServers[going]?.activeConnections = 2
        let smaller = try table(endpoints: [Self.endpoints[0]])
        for _ in 0..<3 {
            try model.commit(smaller.batch(from: model.state))
            #expect(model.state.servers[key()]?.realServers[going]?.weight == 0)
        }
        // Another with the node port's server, which had none, is deleted meanwhile.
        #expect(model.state.servers[.init(Self.node, .tcp, 31000)]?.realServers.count == 1)
        model.state.servers[key()]?.realServers[going]?.activeConnections = 0
        model.state.servers[key()]?.realServers[going]?.inactiveConnections = 1
        try model.commit(smaller.batch(from: model.state))
        #expect(model.state.servers[key()]?.realServers[going] != nil)
        model.state.servers[key()]?.realServers[going]?.inactiveConnections = 0
        try model.commit(smaller.batch(from: model.state))
        #expect(model.state.servers[key()]?.realServers[going] == nil)
        expect(model, has: smaller)
    }

    @Test("an endpoint that comes back while it is drained is used again")
    func comesBack() throws {
        var model = KernelModel(.ipv4)
        try model.commit(try table().batch(from: model.state))
        let going = RealServer(Self.endpoints[1], 8080)
        model.state.servers[key()]?.realServers[going]?.activeConnections = 2
        try model.commit(try table(endpoints: [Self.endpoints[0]]).batch(from: model.state))
        try model.commit(try table().batch(from: model.state))
        #expect(model.state.servers[key()]?.realServers[going]?.weight == 1)
        expect(model, has: try table())
    }

    @Test("a whole service that goes keeps its connections, its address, and the refusal of new ones")
    func drainService() throws {
        var model = KernelModel(.ipv4)
        try model.commit(try table().batch(from: model.state))
        let busy = RealServer(Self.endpoints[0], 8080)
        model.state.servers[key()]?.realServers[busy]?.activeConnections = 1
        let none = try table(endpoints: nil)
        for _ in 0..<3 { try model.commit(none.batch(from: model.state)) }
        #expect(model.state.servers[key()]?.realServers.mapValues(\.weight) == [busy: 0])
        #expect(Array(model.state.servers.keys) == [key()])
        #expect(model.state.addresses == [Self.address])
        #expect(model.state.sets[.serviceAddresses]?.entries == [.address(Self.address)])
        #expect(model.state.sets[.clusterIPs]?.entries == [])
        model.state.servers[key()]?.realServers[busy]?.activeConnections = 0
        try model.commit(none.batch(from: model.state))
        expect(model, has: none)
    }

    @Test("what is not TCP goes at once", arguments: [TransportProtocol.udp, .sctp])
    func datagrams(_ transport: TransportProtocol) throws {
        var model = KernelModel(.ipv4)
        try model.commit(try table(transport).batch(from: model.state))
        let going = RealServer(Self.endpoints[1], 8080)
        model.state.servers[key(transport)]?.realServers[going]?.inactiveConnections = 5
        try model.commit(try table(transport, endpoints: [Self.endpoints[0]]).batch(from: model.state))
        #expect(model.state.servers[key(transport)]?.realServers[going] == nil)
    }

    @Test("foreign virtual servers stay: with other addresses, other ports, or in excluded ranges")
    func foreign() throws {
        var model = KernelModel(.ipv4)
        let table = try table { $0.ipvs.excludeCIDRs = ["172.30.99.0/24"].compactMap(CIDR.init) }
        try model.commit(table.batch(from: model.state))
        let excluded = IPAddress(ipv4: 0xac1e_6301)
        let keys: [VirtualServer.Key] = [
            .init(IPAddress(ipv4: 0x0909_0909), .tcp, 80), .init(Self.node, .tcp, 8443), .init(Self.node, .udp, 31000),
            .init(excluded, .tcp, 80),
        ]
        let foreign = FoundVirtualServer(
            scheduler: IPVSScheduler("wlc"), flags: [], persistenceSeconds: 0, persistencePrefixLength: 32)
        for key in keys { model.state.servers[key] = foreign }
        // One of ours that was left behind goes.
        let stale = VirtualServer.Key(Self.address, .tcp, 8081)
        model.state.servers[stale] = foreign
        try model.commit(table.batch(from: model.state))
        for key in keys { #expect(model.state.servers[key] == foreign) }
        #expect(model.state.servers[stale] == nil)
    }

    @Test("a virtual server at an address of the node goes with its service, after a restart too, and drains before")
    func nodeAddress() throws {
        var model = KernelModel(.ipv4)
        var service = Service(name: .valid("ns1", "web"))
        service.clusterIPs = [Self.address]
        service.externalIPs = [Self.node]
        service.ports = [.init(name: "", protocol: .tcp, number: 80)]
        var slice = EndpointSlice(name: .valid("ns1", "web"), service: service.name, family: .ipv4)
        slice.ports = [.init(name: "", protocol: .tcp, number: 8080)]
        slice.endpoints = Self.endpoints.map { .init(address: $0) }
        var table = try table(endpoints: nil)
        table.update(
            .init(changed: ServicePlanner.plans(for: service, slices: [slice], in: table.settings.node.context)))
        try model.commit(table.batch(from: model.state))
        let key = VirtualServer.Key(Self.node, .tcp, 80)
        let busy = RealServer(Self.endpoints[0], 8080)
        try #require(model.state.servers[key]?.realServers[busy] != nil && model.state.addresses == [Self.address])

        model.state.servers[key]?.realServers[busy]?.activeConnections = 1
        // Each table knows of nothing but what it finds.
        for _ in 0..<3 { try model.commit(try self.table(endpoints: nil).batch(from: model.state)) }
        #expect(model.state.servers.mapValues { $0.realServers.mapValues(\.weight) } == [key: [busy: 0]])
        #expect(try self.table(endpoints: nil).differences(from: model.state) == [])
        model.state.servers[key]?.realServers[busy]?.activeConnections = 0
        try model.commit(try self.table(endpoints: nil).batch(from: model.state))
        expect(model, has: try self.table(endpoints: nil))
        #expect(model.state.servers.isEmpty)
    }

    @Test(
        "a node port is taken from an address that the node lost while nobody looked, but nobody else's there",
        arguments: [TransportProtocol.tcp, .udp, .sctp])
    func lostAddress(_ transport: TransportProtocol) throws {
        var model = KernelModel(.ipv4)
        try model.commit(try table(transport).batch(from: model.state))
        let lost = VirtualServer.Key(Self.node, transport, 31000)
        try #require(model.state.servers[lost]?.realServers.isEmpty == false)
        var other = try #require(model.state.servers[lost])
        other.realServers[RealServer(IPAddress(ipv4: 0x0909_0909), 8080)] = FoundRealServer(weight: 1)
        // The set names addresses of SCTP.
        let foreign = VirtualServer.Key(IPAddress(ipv4: 0x0808_0808), transport, 31000)
        model.state.servers[foreign] = other

        let moved = try table(transport, node: IPAddress(ipv4: 0xc0a8_0009))
        #expect(moved.differences(from: model.state).map(\.place).contains(.server(lost)))
        // What was given weight 0 has no connections.
        for _ in 0..<2 { try model.commit(moved.batch(from: model.state)) }
        #expect(model.state.servers[lost] == nil && model.state.servers.removeValue(forKey: foreign) == other)
        expect(model, has: moved)
    }

    @Test("damage is mended: options, weights, entries, addresses, and a set of another kind is replaced")
    func damage() throws {
        var model = KernelModel(.ipv4)
        let table = try table()
        try model.commit(table.batch(from: model.state))
        let server = RealServer(Self.endpoints[0], 8080)
        model.state.servers[key()]?.scheduler = IPVSScheduler("lc")
        model.state.servers[key()]?.realServers[server]?.weight = 3
        model.state.addresses = []
        model.state.sets[.clusterIPs]?.entries = [.addressAndPort(.init(Self.node, .tcp, 1))]
        model.state.sets[.tcpNodePorts]?.header.ports = 0...100
        model.state.sets[.hairpins]?.unknownEntryCount = 1
        let batch = table.batch(from: model.state)
        #expect(Set(batch.replacedSets.map(\.set)) == [.tcpNodePorts, .hairpins])
        try model.commit(batch)
        expect(model, has: table)
        #expect(isSettled(table.batch(from: model.state)))
    }
}
