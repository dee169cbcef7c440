import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import NFTBackend

/// A table, a model of the kernel that it is committed to, and the cluster that it is for.
private struct History {
    private var objects: RandomObjects
    private let family: IPFamily
    private let options: SharedMapsTable.Options
    private var state = ClusterState()
    private var plans = PlanTable()
    private var zone = "zone-a"
    private var masqueradesAll = false
    private var ranges: [CIDR] = []
    private var table: SharedMapsTable
    private var model = TableModel()
    private var now = ContinuousClock.now
    /// What was seen in all histories of a run, so that none of it is left out unnoticed.
    private(set) var cleanUps = 0

    init(seed: UInt64) {
        objects = RandomObjects(seed: seed)
        family = seed % 3 == 0 ? .ipv6 : .ipv4
        options = .init(perServiceCounters: seed % 4 == 0)
        table = SharedMapsTable(node: Self.node(family, "zone-a", false), serviceRanges: [], options: options)
    }

    private static func node(_ family: IPFamily, _ zone: String, _ masqueradesAll: Bool) -> NodePlan {
        var node = Node(name: "node1")
        node.zone = zone
        node.internalIPs = ["192.168.0.2", "2001:db8::2"].compactMap(IPAddress.init)
        var configuration = ProxyConfiguration()
        configuration.clusterCIDRs = ["10.180.0.0/16", "fd00:10:180::/48"].compactMap(CIDR.init)
        configuration.nftables.masqueradeAll = masqueradesAll
        return NodePlan(
            configuration, mode: .nftables, family: family, nodeName: "node1", node: node, facts: HostFacts(of: node))
    }

    private var node: NodePlan { Self.node(family, zone, masqueradesAll) }

    /// Carries 20 changes out. Returns what is wrong, or nil.
    mutating func fault() -> String? {
        for number in 1...20 {
            change()
            do {
                if objects.generator.chance(10) { try refuse() }
                if objects.generator.chance(60) || number == 20 { try sync() }
                if objects.generator.chance(20) { try cleanUp() }
            } catch {
                return "after change \(number): \(error)"
            }
            if !table.hasChanges, let fault = comparison() { return "after change \(number): \(fault)" }
        }
        return comparisonWithFresh()
    }

    private mutating func change() {
        state.apply(objects.change())
        table.update(plans.update(state.takeTouched(), from: state, in: node.context))
        guard objects.generator.chance(8) else { return }
        zone = objects.generator.pick(["zone-a", "zone-b"])
        masqueradesAll = objects.generator.chance(50)
        ranges =
            objects.generator.chance(50) ? [] : [CIDR("172.30.0.0/16"), CIDR("fd00:10:96::/112")].compactMap(\.self)
        table.update(node, serviceRanges: ranges)
        table.update(plans.updateAll(from: state, in: node.context))
    }

    private mutating func sync(isLast: Bool = false) throws {
        guard let transaction = table.nextTransaction() else { return }
        // Now and then more comes while the kernel is at work.
        if !isLast, objects.generator.chance(15) { change() }
        try model.commit(transaction)
        now += .milliseconds(100)
        table.didCommit(at: now)
    }

    /// A transaction that is never carried out: the next one is of everything.
    private mutating func refuse() throws {
        guard table.nextTransaction() != nil else { return }
        table.didFail()
        guard let next = table.nextTransaction(), next.changes.first == .addTable else {
            throw TableModel.Refusal("after a failure not everything is written", .addTable)
        }
        try model.commit(next)
        table.didCommit(at: now)
    }

    private mutating func cleanUp() throws {
        now += .seconds(2)
        guard let transaction = table.cleanUp(now: now) else { return }
        cleanUps += 1
        try model.commit(transaction)
        table.didCommit(at: now)
    }

    // MARK: - What must hold

    private func comparison() -> String? {
        let (wanted, elements) = table.ruleset()
        var found = model.chains
        for chain in wanted.chains {
            let has = found.removeValue(forKey: chain.name)
            if has != .init(hook: chain.hook, rules: chain.rules) { return "chain \(chain.name) is not as wanted" }
        }
        let idle = Set(table.idle.keys.compactMap(Self.chainName))
        // What is wanted again may still be noted as unused; the rest must be nothing but that.
        let strangers = Set(found.keys).subtracting(idle)
        if !strangers.isEmpty { return "chains that nobody knows: \(strangers.sorted())" }
        if Set(model.sets.values) != Set(wanted.sets) { return "other sets" }
        let there = model.elements.values.flatMap(\.values)
        if there.count != elements.count || Set(there) != Set(elements) {
            return "other elements: \(Set(there).symmetricDifference(elements).map { "\($0)" }.sorted())"
        }
        if let key = model.listWithoutStart { return "no first element of a list: \(key)" }
        return nil
    }

    private static func chainName(_ thing: SharedMapsTable.OnDemand) -> String? {
        switch thing {
        case .kind(let kind): kind.name
        case .chain(let name): name
        case .counter: nil
        }
    }

    private mutating func comparisonWithFresh() -> String? {
        do { try sync(isLast: true) } catch { return "at the end: \(error)" }
        var fresh = SharedMapsTable(node: node, serviceRanges: ranges, options: options)
        var freshPlans = PlanTable()
        fresh.update(freshPlans.updateAll(from: state, in: node.context))
        let kept = CanonicalRuleset(table.ruleset())
        return kept == CanonicalRuleset(fresh.ruleset()) ? comparison() : "not the table of the same plans made afresh"
    }
}

/// A ruleset whose affinity ids are numbered in the order in which they are met.
private struct CanonicalRuleset: Equatable {
    private let table: NFTTable
    private let elements: [NFTElement]

    init(_ ruleset: (table: NFTTable, elements: [NFTElement])) {
        var numbers: [AffinityID: UInt32] = [:]
        func number(_ address: IPAddress) -> IPAddress {
            guard let id = AffinityID(address) else { return address }
            let number = numbers[id] ?? UInt32(numbers.count + 1)
            numbers[id] = number
            return AffinityID(number: number).address(address.family)
        }
        func renumber(_ values: [NFTValue]) -> [NFTValue] {
            values.map { if case .address(let address) = $0 { .address(number(address)) } else { $0 } }
        }
        var table = ruleset.table
        for chain in table.chains.indices {
            for rule in table.chains[chain].rules.indices {
                table.chains[chain].rules[rule].statements = table.chains[chain].rules[rule].statements.map {
                    guard case .setAddress(let field, .constant(let address)) = $0 else { return $0 }
                    return .setAddress(field, .constant(number(address)))
                }
            }
        }
        self.table = table
        elements = ruleset.elements.map { element in
            var element = element
            element.key = renumber(element.key)
            if case .values(let values) = element.datum { element.datum = .values(renumber(values)) }
            return element
        }
    }
}

extension TableModel {
    /// A key at which a chain that is in use begins to look for endpoints, and that has no element.
    fileprivate var listWithoutStart: String? {
        for map in [SharedMapsName.serviceIPs, SharedMapsName.serviceNodePorts] {
            for element in (elements[map] ?? [:]).values {
                guard let chain = element.datum.target else { continue }
                let key = element.key.filter { if case .protocol = $0 { false } else { true } }
                if let missing = missingStart(chain, key, service: nil) { return missing }
            }
        }
        return nil
    }

    private func missingStart(_ chain: String, _ key: [NFTValue], service: IPAddress?) -> String? {
        var service = service
        for rule in chains[chain]?.rules ?? [] {
            for statement in rule.statements {
                switch statement {
                case .setAddress(.destinationAddress, .constant(let id)): service = id
                case .translateByMap(let fields, let map):
                    guard case .random(_, let offset) = fields.last else { continue }
                    let whole = key + [.number(offset)]
                    if elements[map]?[whole] == nil { return "\(map) \(whole)" }
                case .setAddress(.sourceAddress, .map(let fields, let map)):
                    guard case .random(_, let offset) = fields.last, let service else { continue }
                    if elements[map]?[[.address(service), .number(offset)]] == nil { return "\(map) \(service)" }
                default: continue
                }
            }
            for target in rule.targets {
                if let missing = missingStart(target, key, service: service) { return missing }
            }
        }
        return nil
    }
}

@Suite("Random histories of shared maps")
struct SharedMapsHistoryTests {
    /// `SWITCHYARD_HISTORIES` is how many, `SWITCHYARD_SEED` the first seed.
    @Test("no transaction is refused, and each leaves what is wanted and what waits to be taken away")
    func histories() async {
        let environment = ProcessInfo.processInfo.environment
        let count = environment["SWITCHYARD_HISTORIES"].flatMap(UInt64.init) ?? 500
        let first = environment["SWITCHYARD_SEED"].flatMap(UInt64.init) ?? UInt64(Date().timeIntervalSince1970)
        let workers = UInt64(max(1, ProcessInfo.processInfo.activeProcessorCount))
        let cleanUps = await withTaskGroup(of: Int.self) { group in
            for worker in 0..<workers {
                group.addTask {
                    var cleanUps = 0
                    for seed in stride(from: first + worker, to: first + count, by: Int(workers)) {
                        var history = History(seed: seed)
                        if let fault = history.fault() {
                            Issue.record("seed \(seed): \(fault)")
                            break
                        }
                        cleanUps += history.cleanUps
                    }
                    return cleanUps
                }
            }
            return await group.reduce(0, +)
        }
        #expect(cleanUps > count / 10)
    }
}
