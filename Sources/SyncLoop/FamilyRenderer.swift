import ProxyCore

/// What a mode makes of the objects for one family, and what of it has not been committed yet. Pure.
///
/// In a sync: `update`, `nextBatches`, and when the kernel has them all `didCommit`, else `didFail`. Between asking for
/// batches and telling what became of them nothing is updated.
protocol FamilyRenderer: Sendable {
    /// What is committed at once.
    associatedtype Batch: Sendable
    /// What the kernel is compared with.
    associatedtype Audit: Sendable
    /// What is in the kernel that goes on in batches of everything.
    associatedtype Remains: Sendable = Never

    var node: NodePlan { get }
    var servicePortCount: Int { get }
    /// True if the next batches are those of everything.
    var isEverythingPending: Bool { get }

    /// Takes over what became of the touched services.
    mutating func update(_ touched: some Sequence<ObjectName>, from state: ClusterState)
    /// Takes over another node plan, and what of the cluster's own objects matters to the node's rules.
    mutating func update(_ node: NodePlan, from state: ClusterState)
    /// The next batches, which are those of everything, are to take the place of what was found.
    mutating func willReplace(_ remains: Remains)
    /// To be committed one after the other; empty if the kernel has everything.
    mutating func nextBatches() -> [Batch]
    /// The services to be served first where nothing is served yet; nil where that would save no time.
    func essentialBatch() -> Batch?
    mutating func didCommit()
    /// What the kernel holds is not known: the next batches are those of everything.
    mutating func didFail()
    /// What was committed last; nil while that is not known.
    mutating func audit() -> Audit?
    /// How long after a commit another sync is worth while though no object has changed: what was left unused then can
    /// be removed. Nil if there is nothing.
    var leftoversEndAfter: Duration? { get }
}

extension FamilyRenderer {
    var leftoversEndAfter: Duration? { nil }
}

extension FamilyRenderer where Remains == Never {
    mutating func willReplace(_ remains: Never) {}
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
