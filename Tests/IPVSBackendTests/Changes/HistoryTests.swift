import ProxyCore
import TestSupport
import Testing

@testable import IPVSBackend

/// A table, a model of the kernel that it is committed to, and the cluster that it is for.
private struct History {
    private struct Fault: Error, CustomStringConvertible {
        var description: String
    }

    private var objects: RandomObjects
    private let family: IPFamily
    private var state = ClusterState()
    private var plans = PlanTable()
    private var nodeAddresses = ["192.168.0.2", "2001:db8::2"]
    private var table: IPVSTable
    private var model: KernelModel
    private var now = ContinuousClock.now
    /// What was seen in all histories of a run, so that none of it is left out unnoticed.
    private(set) var seen: Set<String> = []

    init(seed: UInt64) {
        objects = RandomObjects(seed: seed)
        family = seed % 3 == 0 ? .ipv6 : .ipv4
        table = IPVSTable(Self.settings(family, ["192.168.0.2", "2001:db8::2"]))
        model = KernelModel(family)
    }

    private static func settings(_ family: IPFamily, _ addresses: [String]) -> IPVSSettings {
        var node = Node(name: "node1")
        node.internalIPs = addresses.compactMap { IPAddress($0) }
        var configuration = ProxyConfiguration()
        configuration.clusterCIDRs = ["10.180.0.0/16", "fd00:10:180::/48"].compactMap(CIDR.init)
        let facts = HostFacts(of: node)
        let plan = NodePlan(
            configuration, mode: .ipvs, family: family, nodeName: "node1", node: node, facts: facts)
        return IPVSSettings(plan, configuration.ipvs, facts: facts, drainTimeout: .seconds(600))
    }

    /// Carries 20 changes out. Returns what is wrong, or nil.
    mutating func fault() -> String? {
        for number in 1...20 {
            do {
                change()
                if objects.generator.chance(60) || number == 20 { try sync(refusals: 10) }
                if objects.generator.chance(10) { try damage() }
                if objects.generator.chance(10) { table.didFail() }
            } catch {
                return "after change \(number): \(error)"
            }
        }
        do {
            try comeToRest()
        } catch {
            return "at the end: \(error)"
        }
        return nil
    }

    private mutating func change() {
        state.apply(objects.change())
        table.update(plans.update(state.takeTouched(), from: state, in: table.settings.node.context))
        guard objects.generator.chance(8) else { return }
        nodeAddresses = objects.generator.pick([
            ["192.168.0.2", "2001:db8::2"], ["192.168.0.2", "192.168.0.3", "2001:db8::2", "2001:db8::3"],
        ])
        table.update(Self.settings(family, nodeAddresses), plans: plans.all)
    }

    /// - Parameter chance: of a hundred, that a part is refused in a batch that has refusals.
    private mutating func sync(refusals chance: Int = 0) throws {
        now += .seconds(1)
        if table.isEverythingPending {
            table.takeOver(.everything(model.state), at: now)
        } else {
            let looks = table.serversToLookAt.map { ($0, model.state.servers[$0]) }
            table.takeOver(.servers(Dictionary(uniqueKeysWithValues: looks)), at: now)
        }
        guard let batch = table.nextBatch(at: now) else { return table.didCommit() }
        let refuses = objects.generator.chance(20)
        var generator = objects.generator
        let refused = try model.commit(
            batch,
            refusing: { part in
                guard refuses, generator.chance(chance) else { return false }
                // What is there a kernel deletes, and without sets of addresses and ports nothing is done.
                return switch part {
                case .set(let set): set.kind != .addressesAndPorts
                case .server(let key): table.virtualServer(key) != nil
                case .entry(let entry, let set): table.wants(entry, in: set)
                case .address(let address): table.wants(address)
                }
            })
        objects.generator = generator
        for refusal in refused { seen.insert("refused \(refusal.part)".split(separator: "(")[0].description) }
        table.didCommit(without: refused)
        connect()
        try compare(without: Set(refused.map(\.part)))
    }

    /// Connections come to those that take them, and end anywhere.
    private mutating func connect() {
        for (key, server) in model.state.servers {
            for (realServer, found) in server.realServers {
                let isBusy = objects.generator.chance(50) && (found.weight > 0 || found.activeConnections > 0)
                model.state.servers[key]?.realServers[realServer]?.activeConnections = isBusy ? 1 : 0
            }
        }
    }

    /// Somebody else changes something.
    private mutating func damage() throws {
        guard !table.hasChanges, !table.isEverythingPending, table.refused.isEmpty else { return }
        guard !table.isDamaged(in: model.state) else { throw Fault(description: "damage where there is none") }
        let key = model.state.servers.keys.randomElement(using: &objects.generator)
        guard let key, let wanted = table.virtualServer(key), let server = wanted.realServers.first else { return }
        switch objects.generator.pick([0, 1, 2, 3, 4]) {
        case 0: model.state.servers[key] = nil
        case 1: model.state.servers[key]?.realServers[server] = nil
        case 2: model.state.servers[key]?.realServers[server]?.weight = 0
        case 3: model.state.sets[.clusterIPs]?.entries = []
        default: model.state.servers[key]?.scheduler = IPVSScheduler("lc")
        }
        seen.insert("damage")
        guard table.isDamaged(in: model.state), !table.differences(from: model.state).isEmpty else {
            throw Fault(description: "damage that is not seen")
        }
        table.didFail()
    }

    private mutating func comeToRest() throws {
        for _ in 0..<3 { try sync() }
        for key in model.state.servers.keys {
            for server in model.state.servers[key]?.realServers.keys.map({ $0 }) ?? [] {
                model.state.servers[key]?.realServers[server]?.activeConnections = 0
            }
        }
        try sync()
        guard table.drainingCount == 0, table.nextLook == nil, !table.isDamaged(in: model.state) else {
            throw Fault(description: "it does not come to rest")
        }
        var fresh = IPVSTable(table.settings)
        var freshPlans = PlanTable()
        fresh.update(freshPlans.updateAll(from: state, in: fresh.settings.node.context))
        guard fresh.virtualServers == table.virtualServers, fresh.rules() == table.rules(),
            Set(model.state.servers.keys) == Set(fresh.virtualServers.keys)
        else { throw Fault(description: "not what a table of the same plans wants") }
        for set in IPSet.allCases where model.state.sets[set]?.entries != Set(fresh.entries(set)) {
            throw Fault(description: "the set \(set) is not as it should be")
        }
        guard model.state.addresses == Set(fresh.addresses) else { throw Fault(description: "other addresses") }
    }

    private func compare(without refused: Set<IPVSRefusal.Part>) throws {
        let wanted = table.virtualServers
        for (key, server) in wanted where !refused.contains(.server(key)) {
            let found = model.state.servers[key]
            let serving = (found?.realServers ?? [:]).filter { $0.value.weight == 1 }
            guard found?.hasOptions(of: server, family) == true, Set(serving.keys) == Set(server.realServers) else {
                throw Fault(description: "\(key) is not as it should be")
            }
        }
        for (key, server) in model.state.servers where wanted[key] == nil && !refused.contains(.server(key)) {
            guard key.protocol == .tcp, server.realServers.allSatisfy({ $0.value.weight == 0 }) else {
                throw Fault(description: "\(key) is not wanted")
            }
        }
        if refused.isEmpty, table.isDamaged(in: model.state) {
            throw Fault(description: "damage where there is none: \(table.batch(from: model.state))")
        }
        // Who has not seen it made cannot tell whose a virtual server is at an address that the node has lost.
        let isKnown = model.state.servers.keys.allSatisfy { wanted[$0] != nil || table.isOurs($0, in: model.state) }
        if refused.isEmpty, isKnown, !table.differences(from: model.state).isEmpty {
            throw Fault(description: "differences: \(table.differences(from: model.state))")
        }
    }
}

@Suite("Histories of ipvs mode")
struct IPVSHistoryTests {
    @Test("of 500 random clusters: batches of changes come to what a batch of everything would")
    func histories() {
        var seen: Set<String> = []
        for seed in UInt64(1)...500 {
            var history = History(seed: seed)
            if let fault = history.fault() {
                Issue.record("seed \(seed): \(fault)")
                return
            }
            seen.formUnion(history.seen)
        }
        #expect(seen.count >= 5, "\(seen)")
    }
}
