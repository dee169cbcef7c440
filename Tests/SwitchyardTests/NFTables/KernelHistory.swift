import Foundation
import NFTBackend
import ProxyCore
import TestSupport

/// What happens to a cluster and to the table of its rules in a kernel, step by step. Any part of a history is one.
struct KernelHistory: CustomStringConvertible {
    enum Step: CustomStringConvertible {
        case change(ObjectChange)
        case node(NodeSettings)
        /// A commit; a change may come while the kernel is at work.
        case sync(meanwhile: ObjectChange?)
        /// A commit that is carried out, but whose answer is lost.
        case lostAnswer
        /// A commit with something in it that the kernel refuses.
        case refusal
        case cleanUp
        case check
        /// Another process takes the table over.
        case restart(counters: Bool)

        var description: String {
            switch self {
            case .change(let change): "\(change)"
            case .node(let settings): "\(settings)"
            case .sync(let change): "sync" + (change.map { ", and meanwhile \($0)" } ?? "")
            case .lostAnswer: "sync whose answer is lost"
            case .refusal: "sync that is refused"
            case .cleanUp: "clean-up"
            case .check: "check"
            case .restart(let counters): "restart \(counters ? "with" : "without") counters"
            }
        }
    }

    struct NodeSettings {
        var zone = "zone-a"
        var masqueradesAll = false
        var masqueradeBit = 14
        var detector = ProxyConfiguration.DetectLocalMode.clusterCIDR
        var hasListedNodePorts = false
        var hasServiceRanges = false
    }

    let family: IPFamily
    let hasCounters: Bool
    var steps: [Step] = []

    init(seed: UInt64) {
        var objects = RandomObjects(seed: seed)
        family = objects.generator.chance(33) ? .ipv6 : .ipv4
        hasCounters = objects.generator.chance(25)
        for _ in 0..<20 {
            steps.append(.change(objects.changeWithRivals()))
            if objects.generator.chance(8) { steps.append(.node(NodeSettings(&objects.generator))) }
            switch objects.generator.next() % 100 {
            case ..<50: steps.append(.sync(meanwhile: objects.generator.chance(15) ? objects.changeWithRivals() : nil))
            case ..<54: steps.append(.lostAnswer)
            case ..<58: steps.append(.refusal)
            case ..<61: steps.append(.restart(counters: objects.generator.chance(25)))
            default: break
            }
            if objects.generator.chance(20) { steps.append(.cleanUp) }
            if objects.generator.chance(5) { steps.append(.check) }
        }
    }

    var description: String {
        "\(family)\(hasCounters ? ", with counters" : "")\n" + steps.map(\.description).joined(separator: "\n")
    }
}

extension RandomObjects {
    /// A change that now and then gives a service addresses and a node port that others have too.
    fileprivate mutating func changeWithRivals() -> ObjectChange {
        let change = change()
        guard case .service(var service) = change else { return change }
        if generator.chance(20) {
            service.externalIPs = ["192.168.99.200", "2001:db8:99::200"].compactMap(IPAddress.init)
        }
        if service.kind != .clusterIP, generator.chance(10), !service.ports.isEmpty {
            service.ports[0].nodePort = 30_999
        }
        return .service(service)
    }
}

extension KernelHistory.NodeSettings {
    fileprivate init(_ generator: inout SeededGenerator) {
        zone = generator.pick(["zone-a", "zone-b"])
        masqueradesAll = generator.chance(50)
        masqueradeBit = generator.pick([14, 14, 15])
        detector = generator.pick([.clusterCIDR, .clusterCIDR, .bridgeInterface, .interfaceNamePrefix, .nodeCIDR])
        hasListedNodePorts = generator.chance(30)
        hasServiceRanges = generator.chance(50)
    }

    var serviceRanges: [CIDR] {
        hasServiceRanges ? ["172.30.0.0/16", "fd00:10:96::/112"].compactMap(CIDR.init) : []
    }

    /// Without pod ranges of the node, NodeCIDR tells no pods from others.
    func plan(_ family: IPFamily) -> NodePlan {
        var node = Node(name: "node1")
        node.zone = zone
        node.internalIPs = ["192.168.0.2", "2001:db8::2"].compactMap(IPAddress.init)
        var configuration = ProxyConfiguration()
        configuration.clusterCIDRs = ["10.180.0.0/16", "fd00:10:180::/48"].compactMap(CIDR.init)
        configuration.detectLocalMode = detector
        configuration.bridgeInterface = "cbr0"
        configuration.interfaceNamePrefix = "veth"
        configuration.nftables.masqueradeAll = masqueradesAll
        configuration.nftables.masqueradeBit = masqueradeBit
        configuration.nodePortAddresses =
            hasListedNodePorts ? .primary : .cidrs(IPFamily.allCases.map(CIDR.everything))
        return NodePlan(
            configuration, mode: .nftables, family: family, nodeName: "node1", node: node, facts: HostFacts(of: node))
    }
}

extension KernelHistory {
    /// Carries a history out in the peer's namespace. Returns what is wrong, or nil.
    func fault(in peer: NFTablesPeer) async throws -> String? {
        let table = NFTTable.Identity(family: family, name: NFTablesNames.sharedMaps, comment: nil)
        try await peer.commit(NFTablesBatch(NFTTransaction(table, [.addTable, .deleteTable(name: table.name)])))
        var run = HistoryRun(self, peer)
        for (number, step) in steps.enumerated() {
            do {
                if let fault = try await run.carryOut(step) { return "step \(number + 1), \(step): \(fault)" }
            } catch let failure as NFTablesReply.Failure {
                return "step \(number + 1), \(step): \(failure)"
            }
        }
        do {
            return try await run.faultAtEnd()
        } catch let failure as NFTablesReply.Failure {
            return "at the end: \(failure)"
        }
    }

    /// The shortest part of a failing history that fails: halves, quarters and so on are left out as long as it goes.
    func shrunk(in peer: NFTablesPeer) async throws -> KernelHistory {
        var history = self
        var size = steps.count / 2
        while size > 0 {
            var start = 0
            while start < history.steps.count {
                var shorter = history
                shorter.steps.removeSubrange(start..<min(start + size, history.steps.count))
                if try await shorter.fault(in: peer) != nil { history = shorter } else { start += size }
            }
            size /= 2
        }
        return history
    }
}

/// The state of the cluster, of the process and of its clock while a history is carried out.
private struct HistoryRun {
    private let peer: NFTablesPeer
    private let family: IPFamily
    private var settings = KernelHistory.NodeSettings()
    private var options: SharedMapsTable.Options
    private var state = ClusterState()
    private var plans = PlanTable()
    private var table: SharedMapsTable
    private var now = ContinuousClock.now

    init(_ history: KernelHistory, _ peer: NFTablesPeer) {
        self.peer = peer
        family = history.family
        options = .init(perServiceCounters: history.hasCounters)
        table = SharedMapsTable(node: settings.plan(family), serviceRanges: settings.serviceRanges, options: options)
    }

    mutating func carryOut(_ step: KernelHistory.Step) async throws -> String? {
        switch step {
        case .change(let change): take(change)
        case .node(let settings):
            self.settings = settings
            table.update(settings.plan(family), serviceRanges: settings.serviceRanges)
            table.update(plans.updateAll(from: state, in: settings.plan(family).context))
        case .sync(let change): try await sync(meanwhile: change)
        case .lostAnswer:
            guard let transaction = table.nextTransaction() else { break }
            try await commit(transaction)
            table.didFail()
        case .refusal: return try await refuse()
        case .cleanUp: try await cleanUp()
        case .check:
            guard !table.hasChanges, let found = try await read() else { break }
            return table.differences(from: found).first.map { "\($0)" }
        case .restart(let counters):
            options.perServiceCounters = counters
            let found = try await read()
            table = fresh()
            if let found { table.takeOver(found) }
        }
        return nil
    }

    private mutating func take(_ change: ObjectChange) {
        state.apply(change)
        table.update(plans.update(state.takeTouched(), from: state, in: settings.plan(family).context))
    }

    private mutating func sync(meanwhile change: ObjectChange? = nil) async throws {
        guard let transaction = table.nextTransaction() else { return }
        if let change { take(change) }
        try await commit(transaction)
        now += .milliseconds(100)
        table.didCommit(at: now)
    }

    private func commit(_ transaction: NFTTransaction) async throws {
        let batch = NFTablesBatch(transaction)
        do {
            try await peer.commit(batch)
        } catch var failure as NFTablesReply.Failure {
            if let message = failure.message, let object = batch.object(ofMessage: message, at: failure.offset) {
                failure.sentence += ": \(object)"
            }
            throw failure
        }
    }

    private mutating func refuse() async throws -> String? {
        guard let next = table.nextTransaction() else { return nil }
        let before = try await read().map(TableContents.init)
        let transaction = NFTTransaction(next.table, next.changes + [.deleteChain("never there")])
        do {
            try await commit(transaction)
            return "a chain that is not there was deleted"
        } catch let failure as NFTablesReply.Failure where failure.sentence.hasSuffix(": chain never there") {
            table.didFail()
        }
        let after = try await read().map(TableContents.init)
        return before == after ? nil : "a refused commit changed something"
    }

    private mutating func cleanUp() async throws {
        now += .seconds(2)
        guard let transaction = table.cleanUp(now: now) else { return }
        try await commit(transaction)
        table.didCommit(at: now)
    }

    private func read() async throws -> NFTKernelTable? {
        try await peer.read(family, table: NFTablesNames.sharedMaps).map {
            NFTKernelTable(family, table: NFTablesNames.sharedMaps, messages: $0.messages)
        }
    }

    /// What a process that has just begun makes of the state.
    private func fresh() -> SharedMapsTable {
        var table = SharedMapsTable(
            node: settings.plan(family), serviceRanges: settings.serviceRanges, options: options)
        var plans = PlanTable()
        table.update(plans.updateAll(from: state, in: settings.plan(family).context))
        return table
    }

    /// The table as its history has left it must be the wanted one, and that which a single commit of everything makes.
    mutating func faultAtEnd() async throws -> String? {
        try await sync()
        try await cleanUp()
        guard let found = try await read() else { return "no table" }
        if let difference = table.differences(from: found).first { return "at the end: \(difference)" }
        if table.hasLeftovers { return "something is never taken away" }
        var fresh = fresh()
        // The ids of affinity depend on the history, so they are taken from it.
        fresh.adoptIDs(from: found)
        guard let full = fresh.nextTransaction() else { return "a process that has just begun commits nothing" }
        try await commit(full)
        guard let whole = try await read() else { return "no table after a full commit" }
        let difference = TableContents(found).difference(from: TableContents(whole))
        return difference.map { "not what a full commit makes: \($0)" }
    }
}
