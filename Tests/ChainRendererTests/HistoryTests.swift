import ChainRenderer
import Foundation
import ProxyCore
import TestSupport
import Testing

/// What happens to a cluster, step by step. Any part of a history is a history.
private enum Step: CustomStringConvertible {
    case change(ObjectChange)
    case zone(String)
    /// What was touched is planned and rendered, and waits to be committed.
    case plan
    /// A sync that the kernel acknowledges, or refuses.
    case sync(acknowledged: Bool)

    var description: String {
        switch self {
        case .change(let change): "\(change)"
        case .zone(let zone): "zone \(zone)"
        case .plan: "plan"
        case .sync(let acknowledged): acknowledged ? "sync" : "failed sync"
        }
    }
}

private func history(seed: UInt64) -> [Step] {
    var objects = RandomObjects(seed: seed)
    var steps: [Step] = []
    let crosses = objects.generator.chance(10)
    if crosses { steps.append(.change(.service(RandomObjects.floodService))) }
    for _ in 0..<Int.random(in: 45...80, using: &objects.generator) {
        steps.append(.change(objects.change()))
        if crosses, objects.generator.chance(6) {
            steps.append(
                .change(.endpointSlice(RandomObjects.floodSlice(objects.generator.pick([0, 990, 998, 1000, 1001])))))
        }
        if objects.generator.chance(3) { steps.append(.zone(objects.generator.pick(["zone-a", "zone-b", ""]))) }
        if objects.generator.chance(30) { steps.append(.plan) }
        if objects.generator.chance(35) { steps.append(.sync(acknowledged: !objects.generator.chance(8))) }
    }
    return steps
}

private func node(_ family: IPFamily, zone: String) -> NodePlan {
    var node = Node(name: "node1")
    node.zone = zone
    node.internalIPs = ["192.168.0.2", "2001:db8::2"].compactMap(IPAddress.init)
    var configuration = ProxyConfiguration()
    configuration.clusterCIDRs = ["10.180.0.0/16", "fd00:10:180::/48"].compactMap(CIDR.init)
    return NodePlan(
        configuration, mode: .iptables, family: family, nodeName: "node1", node: node, facts: HostFacts(of: node))
}

/// What is wrong after a history, or nil.
private func fault(in steps: [Step], _ family: IPFamily) -> String? {
    var state = ClusterState()
    var zone = "zone-a"
    var rules = IPTablesRules(node: node(family, zone: zone))
    var tables = SimulatedTables()
    var number = 0
    do {
        func sync(acknowledged: Bool) throws {
            rules.update(state.takeTouched(), from: state)
            guard let batch = rules.partialBatch() else { return }
            guard acknowledged else { return rules.didFail() }
            try tables.apply(batch)
            tables.removeUndeclared(batch)
            rules.didCommit()
        }
        for step in steps {
            number += 1
            switch step {
            case .change(let change): state.apply(change)
            case .zone(let name):
                zone = name
                rules.update(node(family, zone: zone), from: state)
            case .plan: rules.update(state.takeTouched(), from: state)
            case .sync(let acknowledged): try sync(acknowledged: acknowledged)
            }
        }
        try sync(acknowledged: true)

        var fresh = IPTablesRules(node: node(family, zone: zone))
        fresh.update(state.services.keys, from: state)
        let wanted = fresh.fullBatch()
        let got = rules.fullBatch()
        if let diff = UnifiedDiff.text(old: wanted.text, new: got.text, oldName: "fresh", newName: "kept") {
            return diff
        }
        var expected = SimulatedTables()
        try expected.apply(wanted)
        if expected != tables { return "the tables after partial syncs are not those of one full sync" }
        let dangling = expected.danglingJumps()
        return dangling.isEmpty ? nil : "no chain for jumps to \(dangling)"
    } catch {
        return "step \(number): \(error)"
    }
}

/// The shortest part of a failing history that fails: halves, quarters and so on are left out as long as it goes.
private func shrunk(_ steps: [Step], _ family: IPFamily) -> [Step] {
    var steps = steps
    var size = steps.count / 2
    while size > 0 {
        var start = 0
        while start < steps.count {
            var shorter = steps
            shorter.removeSubrange(start..<min(start + size, steps.count))
            if fault(in: shorter, family) != nil { steps = shorter } else { start += size }
        }
        size /= 2
    }
    return steps
}

@Suite("Random histories")
struct HistoryTests {
    /// `SWITCHYARD_HISTORIES` is how many, `SWITCHYARD_SEED` the first seed.
    @Test("partial syncs end in the bytes of one full render")
    func histories() async {
        let environment = ProcessInfo.processInfo.environment
        let count = environment["SWITCHYARD_HISTORIES"].flatMap(UInt64.init) ?? 500
        let first = environment["SWITCHYARD_SEED"].flatMap(UInt64.init) ?? UInt64(Date().timeIntervalSince1970)
        print("histories: seeds \(first) to \(first + count - 1)")
        await withTaskGroup { group in
            let workers = UInt64(max(1, ProcessInfo.processInfo.activeProcessorCount))
            for worker in 0..<workers {
                group.addTask {
                    for seed in stride(from: first + worker, to: first + count, by: Int(workers)) {
                        let steps = history(seed: seed)
                        for family in IPFamily.allCases where fault(in: steps, family) != nil {
                            let short = shrunk(steps, family)
                            Issue.record(
                                """
                                seed \(seed), \(family), shrunk to \(short.count) steps:
                                \(short.map(\.description).joined(separator: "\n"))
                                \(fault(in: short, family) ?? "")
                                """)
                            return
                        }
                    }
                }
            }
        }
    }

    @Test("a change of one endpoint writes the chains of its service and no others")
    func oneChange() throws {
        let cluster = LargeCluster(services: 50, endpointsEach: 4)
        var state = ClusterState()
        for change in cluster.changes { state.apply(change) }
        var rules = IPTablesRules(node: node(.ipv4, zone: ""))
        rules.update(state.takeTouched(), from: state)
        _ = rules.partialBatch()
        rules.didCommit()
        let nothing = rules.partialBatch()
        #expect(nothing == nil)

        state.apply(.endpointSlice(cluster.slice(7, generation: 1)))
        rules.update(state.takeTouched(), from: state)
        let partial = rules.partialBatch()
        let batch = try #require(partial)
        let text = String(decoding: batch.text, as: UTF8.self)
        #expect(batch.tables.map(\.name) == [.nat])
        #expect(!text.contains("-A KUBE-SERVICES"))
        #expect(text.split(separator: "\n").filter { $0.hasPrefix(":KUBE-SVC-") }.count == 1)
        #expect(text.split(separator: "\n").filter { $0.hasPrefix("-X KUBE-SEP-") }.count == 1)
    }

    @Test("a full load in pieces ends in the tables of one input, and every piece stands by itself", arguments: 1...20)
    func pieces(_ seed: UInt64) throws {
        var objects = RandomObjects(seed: seed)
        var state = ClusterState()
        var rules = IPTablesRules(node: node(.ipv4, zone: ""))
        var tables = SimulatedTables()
        var pieces = 0
        for _ in 0..<3 {
            for _ in 0..<60 { state.apply(objects.change()) }
            rules.update(state.takeTouched(), from: state)
            let batches = rules.fullBatches(chainLimit: 10)
            pieces = max(pieces, batches.count)
            for batch in batches {
                try tables.apply(batch)
                tables.removeUndeclared(batch)
                #expect(tables.danglingJumps().isEmpty)
            }
            var expected = SimulatedTables()
            try expected.apply(rules.fullBatch())
            #expect(tables == expected)
        }
        #expect(pieces > 2)
    }

    @Test("a small cluster is loaded in one piece")
    func onePiece() {
        var rules = IPTablesRules(node: node(.ipv4, zone: ""))
        let batches = rules.fullBatches(chainLimit: 1000)
        let whole = rules.fullBatch()
        #expect(batches == [whole])
    }

    @Test("endpoints have comments up to a thousand of them, and none above", arguments: [(1000, true), (1001, false)])
    func threshold(_ count: Int, _ hasComments: Bool) {
        var state = ClusterState()
        state.apply(.service(RandomObjects.floodService))
        state.apply(.endpointSlice(RandomObjects.floodSlice(count)))
        var rules = IPTablesRules(node: node(.ipv4, zone: ""))
        rules.update(state.takeTouched(), from: state)
        let text = String(decoding: rules.fullBatch().text, as: UTF8.self)
        #expect(text.contains("big/flood -> 11.0.0.1:9000") == hasComments)
    }

    @Test("a change that is taken back changes nothing")
    func takenBack() {
        let cluster = LargeCluster(services: 3, endpointsEach: 2)
        var state = ClusterState()
        for change in cluster.changes { state.apply(change) }
        var rules = IPTablesRules(node: node(.ipv4, zone: ""))
        rules.update(state.takeTouched(), from: state)
        _ = rules.partialBatch()
        rules.didCommit()

        let extra = LargeCluster(services: 4, endpointsEach: 2)
        state.apply(.service(extra.service(3)))
        state.apply(.serviceDeleted(extra.name(3)))
        rules.update(state.takeTouched(), from: state)
        let nothing = rules.partialBatch()
        #expect(nothing == nil)
    }
}
