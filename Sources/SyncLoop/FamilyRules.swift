import ProxyCore

/// One family's rules, and what of the objects has not been taken over into them.
struct FamilyRules<Renderer: FamilyRenderer> {
    var facts: HostFacts
    /// Begins the rules at the first sync.
    private let makeRules: @Sendable (NodePlan, HostFacts) -> Renderer
    /// Nil until the first sync.
    var rules: Renderer?
    var flows: FlowClaims
    private(set) var touched: Set<ObjectName> = []
    private(set) var isNodeStale = false
    /// When the oldest change was received that no sync has taken over.
    private(set) var pendingSince: ContinuousClock.Instant?
    /// Called when there is something new for it.
    let wakeUp: @Sendable () -> Void

    init(
        _ family: IPFamily, facts: HostFacts, makeRules: @escaping @Sendable (NodePlan, HostFacts) -> Renderer,
        wakeUp: @escaping @Sendable () -> Void
    ) {
        self.facts = facts
        self.makeRules = makeRules
        self.wakeUp = wakeUp
        flows = FlowClaims(family: family)
    }

    mutating func note(_ names: Set<ObjectName>, isNodeChanged: Bool, _ receivedAt: ContinuousClock.Instant) {
        touched.formUnion(names)
        isNodeStale = isNodeStale || isNodeChanged
        pendingSince = min(pendingSince ?? receivedAt, receivedAt)
    }

    /// True if the next sync is one of everything, even where that is not asked for.
    var isEverythingPending: Bool { rules?.isEverythingPending ?? true }

    /// Takes over what was noted, and returns what has to be committed.
    ///
    /// - Parameter finding: what was seen in the kernel.
    mutating func beginSync(
        _ state: ClusterState, _ node: NodePlan, full: Bool, over finding: Renderer.Finding?
    ) -> SyncWork<Renderer.Batch> {
        let start = ContinuousClock.now
        if rules == nil {
            rules = makeRules(node, facts)
            rules?.update(node, facts, from: state)
            rules?.update(state.services.keys, from: state)
            flows.updateAll(from: state, in: node.context)
        } else {
            if isNodeStale {
                rules?.update(node, facts, from: state)
                flows.updateAll(from: state, in: node.context)
            }
            rules?.update(touched, from: state)
            flows.update(touched, from: state, in: node.context)
            if full { rules?.didFail() }
        }
        let isFull = isEverythingPending
        if let finding { rules?.takeOver(finding) }
        let batches = rules?.nextBatches() ?? []
        defer { (touched, isNodeStale, pendingSince) = ([], false, nil) }
        return SyncWork(
            batches: batches, essential: isFull ? rules?.essentialBatch() : nil, isFull: isFull,
            touchedServiceCount: touched.count,
            servicePortCount: rules?.servicePortCount ?? 0, receivedAt: pendingSince,
            renderDuration: ContinuousClock.now - start)
    }
}
