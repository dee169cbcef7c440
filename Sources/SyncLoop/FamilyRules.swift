import ChainRenderer
import ProxyCore

/// One family's rules, and what of the objects has not been taken over into them.
struct FamilyRules {
    var facts: HostFacts
    let options: IPTablesRules.Options
    /// Nil until the first sync.
    var rules: IPTablesRules?
    var flows: FlowClaims
    private(set) var touched: Set<ObjectName> = []
    private(set) var isNodeStale = false
    /// When the oldest change was received that no sync has taken over.
    private(set) var pendingSince: ContinuousClock.Instant?
    /// Called when there is something new for it.
    let wakeUp: @Sendable () -> Void

    init(
        _ family: IPFamily, facts: HostFacts, options: IPTablesRules.Options, wakeUp: @escaping @Sendable () -> Void
    ) {
        self.facts = facts
        self.options = options
        self.wakeUp = wakeUp
        flows = FlowClaims(family: family)
    }

    mutating func note(_ names: Set<ObjectName>, isNodeChanged: Bool, _ receivedAt: ContinuousClock.Instant) {
        touched.formUnion(names)
        isNodeStale = isNodeStale || isNodeChanged
        pendingSince = min(pendingSince ?? receivedAt, receivedAt)
    }

    /// Takes over what was noted, and returns what has to be committed.
    mutating func beginSync(
        _ state: ClusterState, _ node: NodePlan, full: Bool, chainLimit: Int
    ) -> SyncWork {
        let start = ContinuousClock.now
        if rules == nil {
            rules = IPTablesRules(node: node, options: options)
            rules?.update(state.services.keys, from: state)
            flows.updateAll(from: state, in: node.context)
        } else {
            if isNodeStale {
                rules?.update(node, from: state)
                flows.updateAll(from: state, in: node.context)
            }
            rules?.update(touched, from: state)
            flows.update(touched, from: state, in: node.context)
            if full { rules?.didFail() }
        }
        let isFull = rules?.isEverythingPending ?? true
        let batches = rules?.nextBatches(chainLimit: chainLimit) ?? []
        defer { (touched, isNodeStale, pendingSince) = ([], false, nil) }
        return SyncWork(
            batches: batches, isFull: isFull, touchedServiceCount: touched.count,
            servicePortCount: rules?.servicePortCount ?? 0, receivedAt: pendingSince,
            renderDuration: ContinuousClock.now - start)
    }
}

/// What a sync has to commit.
struct SyncWork: Sendable {
    /// To be committed one after the other; empty if the kernel has everything.
    var batches: [IPTablesBatch]
    var isFull: Bool
    /// The number of services that changes have touched.
    var touchedServiceCount: Int
    /// All service ports of the family.
    var servicePortCount: Int
    /// When the oldest change was received.
    var receivedAt: ContinuousClock.Instant?
    var renderDuration: Duration
}
