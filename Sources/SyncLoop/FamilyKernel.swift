import BatchApplier
import ProxyCore

/// What a mode does to the kernel, and learns from it, for one family.
///
/// A commit, a check and a look may be under way at the same time.
protocol FamilyKernel: Actor {
    associatedtype Renderer: FamilyRenderer

    /// What stands in the kernel, as far as it matters to the next batches; nil where it does not. Asked before each sync.
    ///
    /// - Parameter everything: true if the next batches are those of everything.
    func finding(everything: Bool) async throws(SyncFailure) -> Renderer.Finding?
    /// Commits all batches, or fails at one.
    func commit(_ work: SyncWork<Renderer.Batch>) async throws(SyncFailure) -> CommitReport<Renderer.Refusal>
    /// Compares everything with what was committed last, beside the syncs.
    func check(_ audit: Renderer.Audit) async throws -> CheckOutcome
    /// How often `look` is worth its cost; nil where only checks notice what others do.
    nonisolated var lookPeriod: Duration? { get }
    /// Looks at little cost whether somebody else has changed what is ours; what a commit has changed meanwhile is not
    /// judged.
    func look() async throws -> LookOutcome
    /// Waits until somebody else changes what is ours; nil where nobody does in the time.
    nonisolated func nextForeignWriter(within time: Duration) async -> NFTablesWriter?
}

extension FamilyKernel where Renderer.Finding == Never {
    func finding(everything: Bool) async -> Never? { nil }
}

/// What a successful commit tells.
struct CommitReport<Refusal: Sendable>: Sendable {
    /// The part of the time that the kernel, or the program that feeds it, took.
    var kernelDuration: Duration
    /// What the kernel did not do, where the rest was done.
    var refusals: [Refusal] = []
}

/// Why a sync failed.
struct SyncFailure: Error, CustomStringConvertible {
    /// With all that is known, for the log.
    var description: String
    /// The kernel did not take what it was given: it holds something else than it should, and everything is written
    /// anew.
    var isRefusal: Bool
    var status: DaemonStatus.Failure
}

/// Something of ours that is not as it was committed.
struct Damage: Hashable, Sendable {
    /// What is counted together: `table`, `chain`, `rules`, `jump`, `missing`, `changed`, and so on.
    var kind: String
    var sentence: String
}

enum CheckOutcome: Sendable {
    /// In the middle of a commit there is no state that the kernel could be compared with.
    case busy
    /// A commit came between: nothing can be said.
    case nothingKnown
    case compared([Damage])
}

struct LookOutcome: Sendable {
    var damage: [Damage] = []
    /// True if something may have been altered that only a check can judge.
    var needsCheck = false
}
