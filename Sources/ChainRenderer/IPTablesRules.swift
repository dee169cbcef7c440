public import ProxyCore

/// The iptables rules of one family: plans, their text, and what of it has not been committed yet.
///
/// A change costs what the touched services cost. The text of the others stays as it was rendered.
public struct IPTablesRules: Sendable {
    public struct Options: Hashable, Sendable {
        /// Whether rules count packets in the kernel's accounting objects (nfnetlink_acct).
        public var accounting: Bool
        /// The number of endpoints above which the rules of endpoints have no comments: kube-proxy's is 1,000.
        public var commentLimit: Int

        public init(accounting: Bool = false, commentLimit: Int = 1000) {
            self.accounting = accounting
            self.commentLimit = commentLimit
        }
    }

    public private(set) var node: NodePlan
    public let options: Options
    private var plans = PlanTable()
    private var fragments: [ServicePortName: ServiceFragment] = [:]
    /// The keys of `fragments` in the order of rules; nil when they must be sorted again.
    private var order: [ServicePortName]? = []
    private var hasEndpointComments = true
    private var pending = PendingChanges()

    public init(node: NodePlan, options: Options = Options()) {
        self.node = node
        self.options = options
    }

    /// The number of service ports.
    public var servicePortCount: Int { fragments.count }

    /// Takes over what became of the touched services.
    public mutating func update(_ touched: some Sequence<ObjectName>, from state: ClusterState) {
        render(plans.update(touched, from: state, in: node.context))
    }

    /// Takes over another node plan, and with it plans and renders everything anew.
    public mutating func update(_ node: NodePlan, from state: ClusterState) {
        guard node != self.node else { return }
        self.node = node
        _ = plans.updateAll(from: state, in: node.context)
        pending.isEverything = true
        fragments.removeAll(keepingCapacity: true)
        order = []
        render(.init(changed: Array(plans.all)))
    }

    private mutating func render(_ changes: PlanTable.Changes) {
        let comments = plans.endpointCount <= options.commentLimit
        var renderer = ServiceRenderer(node: node, options: options)
        // A few names find their places one by one; a flood is sorted once, when the order is asked for.
        if changes.changed.count > 64 { order = nil }
        for name in changes.removed { remove(name) }
        if comments == hasEndpointComments {
            for plan in changes.changed { set(renderer.render(plan, endpointComments: comments), plan.name) }
        } else {
            hasEndpointComments = comments
            for plan in plans.all { set(renderer.render(plan, endpointComments: comments), plan.name) }
        }
    }

    private mutating func set(_ fragment: ServiceFragment, _ name: ServicePortName) {
        let old = fragments.updateValue(fragment, forKey: name)
        pending.note(name, from: old, to: fragment)
        if old == nil, let place = order?.partitioningIndex(of: name) { order?.insert(name, at: place) }
    }

    private mutating func remove(_ name: ServicePortName) {
        guard let old = fragments.removeValue(forKey: name) else { return }
        pending.note(name, from: old, to: nil)
        if let place = order?.partitioningIndex(of: name) { order?.remove(at: place) }
    }

    private mutating func sortedNames() -> [ServicePortName] {
        if let order { return order }
        let sorted = fragments.keys.sorted()
        order = sorted
        return sorted
    }
}

// MARK: - Batches

extension IPTablesRules {
    /// Everything, whatever has been committed before.
    public mutating func fullBatch() -> IPTablesBatch {
        fullBatch(fragments(sortedNames()), ownChains: true)
    }

    private func fullBatch(_ fragments: [ServiceFragment], ownChains: Bool) -> IPTablesBatch {
        IPTablesBatch(
            family: node.family,
            tables: [
                .init(name: .filter, text: TopLevelChains.filterTable(node, options, fragments)),
                .init(name: .nat, text: TopLevelChains.natTable(node, fragments, ownChains: ownChains)),
            ],
            jumps: TopLevelChains.jumps, ownedChainPrefixes: ServiceChain.ownedPrefixes, sysctls: sysctls)
    }

    /// Everything in several batches, to be committed one after the other: first the services' own chains, a bounded
    /// number in each, then the shared chains that make them reachable, with all the rest.
    ///
    /// iptables-nft-restore takes time in proportion to the square of the chains in one input (docs/decisions/0004).
    /// Each service port's chains are in one batch, so that it is served by the old or by the new ones at any moment.
    /// If a batch is refused, the ones before have left chains that nothing leads to, or new ones in place of old.
    /// A small cluster is one batch.
    public mutating func fullBatches(chainLimit: Int) -> [IPTablesBatch] {
        let all = fragments(sortedNames())
        let names = all.map(\.chainNames)
        guard names.reduce(0, { $0 + $1.count }) > chainLimit else {
            return [fullBatch(all, ownChains: true)]
        }
        var batches: [IPTablesBatch] = []
        var start = 0
        while start < all.count {
            var end = start
            var count = 0
            repeat {
                count += names[end].count
                end += 1
            } while end < all.count && count + names[end].count <= chainLimit
            let text = TopLevelChains.natPiece(node, all[start..<end])
            if count > 0 { batches.append(IPTablesBatch(family: node.family, tables: [.init(name: .nat, text: text)])) }
            start = end
        }
        var last = fullBatch(all, ownChains: false)
        last.keptChains = Set(names.joined())
        return batches + [last]
    }

    /// What has changed since `didCommit()` was last called, or nil if nothing has.
    ///
    /// Chains that did not change are not in it, the top-level ones included. Before the first commit, and after the
    /// node plan has changed, it is the full batch.
    public mutating func partialBatch() -> IPTablesBatch? {
        if pending.isEverything { return fullBatch() }
        guard !pending.isEmpty else { return nil }
        var tables: [IPTablesBatch.Table] = []
        let names = pending.filter || pending.top ? sortedNames() : []
        if pending.filter {
            tables.append(.init(name: .filter, text: TopLevelChains.filterTable(node, options, fragments(names))))
        }
        if pending.top || !pending.services.isEmpty || !pending.staleChains.isEmpty {
            let text = TopLevelChains.natDelta(
                node, top: pending.top ? fragments(names) : nil, changed: fragments(pending.services.sorted()),
                stale: pending.staleChains.sorted())
            tables.append(.init(name: .nat, text: text))
        }
        return IPTablesBatch(family: node.family, tables: tables, sysctls: sysctls)
    }

    /// The kernel has acknowledged the last batch.
    public mutating func didCommit() {
        pending = PendingChanges()
        pending.isEverything = false
    }

    /// What the kernel holds is not known: the next batch is a full one.
    public mutating func didFail() {
        pending = PendingChanges()
    }

    private func fragments(_ names: [ServicePortName]) -> [ServiceFragment] {
        names.compactMap { fragments[$0] }
    }

    /// Node ports on loopback addresses need packets from 127.0.0.0/8 to be routed (ip-sysctl.txt, `route_localnet`).
    private var sysctls: [IPTablesBatch.Sysctl] {
        node.guardsLoopback ? [.init(path: "net/ipv4/conf/all/route_localnet", value: "1")] : []
    }
}

/// What differs between the fragments and what was last committed.
private struct PendingChanges: Sendable {
    /// True until something was committed: then the rest says nothing.
    var isEverything = true
    var filter = false
    var top = false
    /// Service ports whose own chains have changed; they may be gone by now.
    var services: Set<ServicePortName> = []
    /// Committed chains that no fragment has any more.
    var staleChains: Set<String> = []

    var isEmpty: Bool { !isEverything && !filter && !top && services.isEmpty && staleChains.isEmpty }

    mutating func note(_ name: ServicePortName, from old: ServiceFragment?, to new: ServiceFragment?) {
        guard !isEverything else { return }
        if old?.filter ?? [] != new?.filter ?? [] { filter = true }
        if old?.top ?? [] != new?.top ?? [] { top = true }
        let wanted = Set(new?.chainNames ?? [])
        staleChains.formUnion(Set(old?.chainNames ?? []).subtracting(wanted))
        staleChains.subtract(wanted)
        if let new, old.map(new.hasSameChains) != true { services.insert(name) }
    }
}

extension [ServicePortName] {
    /// The first place whose name is not below `name`.
    fileprivate func partitioningIndex(of name: ServicePortName) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < name { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
