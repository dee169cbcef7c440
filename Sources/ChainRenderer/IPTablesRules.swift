public import ProxyCore

/// The iptables rules of one family: plans, their text, and what of it has not been committed yet.
///
/// A change costs what the touched services cost. The text of the others stays as it was rendered.
///
/// What is pending is what `update` has noted since the last `didCommit()`. So between asking for batches and telling
/// what became of them nothing may be updated: changes that come in the meantime wait in the cluster's state.
public struct IPTablesRules: Sendable {
    public struct Options: Hashable, Sendable {
        /// Whether rules count packets in the kernel's accounting objects (nfnetlink_acct).
        public var accounting: Bool
        /// The number of endpoints above which the rules of endpoints have no comments: kube-proxy's is 1,000.
        public var commentLimit: Int
        /// How far below the limit the number must fall before comments that were left off come back.
        ///
        /// Each time they come or go, every rule of an endpoint is written anew; a running daemon gives some room, so
        /// that a number about the limit does not do that over and over. With 0 the rules depend on the cluster as it
        /// is alone, not on what it was before.
        public var commentSlack: Int

        public init(accounting: Bool = false, commentLimit: Int = 1000, commentSlack: Int = 0) {
            self.accounting = accounting
            self.commentLimit = commentLimit
            self.commentSlack = commentSlack
        }
    }

    public private(set) var node: NodePlan
    public let options: Options
    private(set) var plans = PlanTable()
    private(set) var fragments: [ServicePortName: ServiceFragment] = [:]
    /// The keys of `fragments` in the order of rules; nil when they must be sorted again.
    private var order: [ServicePortName]? = []
    private var hasEndpointComments = true
    private(set) var pending = PendingChanges()

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
        let comments = wantsEndpointComments
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

    private var wantsEndpointComments: Bool {
        let limit = options.commentLimit
        return plans.endpointCount <= (hasEndpointComments ? limit : limit - max(options.commentSlack, 0))
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

    /// True if the next batches are those of everything.
    public var isEverythingPending: Bool { pending.isEverything }

    /// The kernel has acknowledged every batch that was asked for last.
    public mutating func didCommit() {
        pending = PendingChanges()
        pending.isEverything = false
    }

    /// What the kernel holds is not known: the next batches are those of everything.
    public mutating func didFail() {
        pending = PendingChanges()
    }

    /// The service ports in the order of rules.
    mutating func sortedNames() -> [ServicePortName] {
        if let order { return order }
        let sorted = fragments.keys.sorted()
        order = sorted
        return sorted
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
