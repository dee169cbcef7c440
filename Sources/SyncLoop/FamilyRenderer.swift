import ProxyCore

/// What a mode makes of the objects for one family, and what of it has not been committed yet. Pure.
///
/// In a sync: `update`, `takeOver` what was seen in the kernel, `nextBatches`, and when the kernel has them all
/// `didCommit`, else `didFail`. Between asking for batches and telling what became of them nothing is updated.
protocol FamilyRenderer: Sendable {
    /// What is committed at once.
    associatedtype Batch: Sendable
    /// What the kernel is compared with.
    associatedtype Audit: Sendable
    /// What is seen in the kernel before batches are made.
    associatedtype Finding: Sendable = Never
    /// A part of a batch that the kernel did not do, where a batch may be done in part.
    associatedtype Refusal: Sendable = Never

    var node: NodePlan { get }
    var servicePortCount: Int { get }
    /// True if the next batches are those of everything.
    var isEverythingPending: Bool { get }

    /// Takes over what became of the touched services.
    mutating func update(_ touched: some Sequence<ObjectName>, from state: ClusterState)
    /// Takes over another node plan, and what of the cluster's own objects matters to the node's rules.
    mutating func update(_ node: NodePlan, _ facts: HostFacts, from state: ClusterState)
    /// The next batches are for a kernel that has this.
    mutating func takeOver(_ finding: Finding)
    /// To be committed one after the other; empty if the kernel has everything.
    mutating func nextBatches() -> [Batch]
    /// The services to be served first where nothing is served yet; nil where that would save no time.
    func essentialBatch() -> Batch?
    /// The kernel has all but these.
    mutating func didCommit(without refusals: [Refusal])
    /// What the kernel holds is not known: the next batches are those of everything.
    mutating func didFail()
    /// What was committed last; nil while that is not known.
    mutating func audit() -> Audit?
    /// How long after a sync another one is worth while though no object has changed: what was left then can be removed,
    /// or be tried again. Nil if there is nothing.
    var leftoversEndAfter: Duration? { get }
    /// What the kernel has been asked for and does not do, a sentence for each.
    var refusals: [String] { get }
    /// How many endpoints that are gone keep the connections they had.
    var drainingCount: Int { get }
}

extension FamilyRenderer {
    var leftoversEndAfter: Duration? { nil }
    var refusals: [String] { [] }
    var drainingCount: Int { 0 }
}

extension FamilyRenderer where Finding == Never {
    mutating func takeOver(_ finding: Never) {}
}

/// What a sync has to commit.
struct SyncWork<Batch: Sendable>: Sendable {
    /// To be committed one after the other; empty if the kernel has everything.
    var batches: [Batch]
    /// To be committed before them where the kernel has nothing of ours.
    var essential: Batch?
    var isFull: Bool
    /// The number of services that changes have touched.
    var touchedServiceCount: Int
    /// All service ports of the family.
    var servicePortCount: Int
    /// When the oldest change was received.
    var receivedAt: ContinuousClock.Instant?
    var renderDuration: Duration
}
