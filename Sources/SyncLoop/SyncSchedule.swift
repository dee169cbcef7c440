/// When one family is synced and checked: decided from what happened and when, with no clock and no kernel.
///
/// At most one sync begins in each `minSyncPeriod`, counted from the end of the one before; the first change after a
/// quiet time waits for nothing. A failed sync is repeated with growing pauses, and is a full one. Damage found in the
/// kernel is mended at once, until somebody undoes the mending twice in a row: from then on only checks mend.
struct SyncSchedule {
    typealias Instant = ContinuousClock.Instant

    struct Periods: Hashable, Sendable {
        /// The least time between two syncs.
        var minSync: Duration
        /// The time between two full checks, unless they cost too much, and the longest pause after a failed sync.
        var sync: Duration
    }

    /// A check may take this part of the time until the next one ends: 2 % of one core.
    static let checkShare = 50
    static let longestCheckPause = Duration.seconds(3600)
    /// The pause after the first failed sync; each further one doubles it.
    static let firstRetryPause = Duration.seconds(1)

    let periods: Periods
    /// False until the objects are known: nothing is synced before.
    private(set) var isReady = false
    /// When the first change came that no sync has taken over yet.
    private(set) var pendingSince: Instant?
    private(set) var needsFullSync = true
    private(set) var consecutiveFailures = 0
    /// When the next sync may begin.
    private var earliestSync: Instant?
    private(set) var nextCheck: Instant?
    /// Before this a check would take more than its share.
    private var earliestCheck: Instant?
    private var quarrel = Quarrel()

    init(periods: Periods) {
        self.periods = periods
    }

    /// Since when somebody has been undoing what is mended; nil if nobody does.
    var contestedSince: Instant? { quarrel.since }
    /// When a sync will begin that something is waiting for; nil if nothing is.
    var nextSync: Instant? { pendingSince.map { max($0, earliestSync ?? $0) } }

    func isSyncDue(at now: Instant) -> Bool {
        isReady && nextSync.map { $0 <= now } == true
    }

    func isCheckDue(at now: Instant) -> Bool { nextCheck.map { $0 <= now } == true }

    /// The objects are known; from now on there are syncs, the first at once.
    mutating func becomeReady(at now: Instant) {
        guard !isReady else { return }
        isReady = true
        pendingSince = pendingSince ?? now
    }

    mutating func objectsChanged(at now: Instant) {
        pendingSince = pendingSince ?? now
    }

    /// What is waited for has been taken over into a sync that begins now.
    mutating func syncBegan() {
        pendingSince = nil
    }

    /// - Parameter jitter: 0 to 1, spreads the pause after a failure.
    mutating func syncEnded(at now: Instant, succeeded: Bool, jitter: Double) {
        guard succeeded else {
            let doublings = min(consecutiveFailures, 16)
            let pause = min(Self.firstRetryPause * (1 << doublings), max(periods.sync, Self.firstRetryPause))
            consecutiveFailures += 1
            needsFullSync = true
            pendingSince = pendingSince ?? now
            earliestSync = now + max(periods.minSync, pause * (0.8 + 0.4 * jitter))
            return
        }
        consecutiveFailures = 0
        needsFullSync = false
        earliestSync = now + periods.minSync
        nextCheck = nextCheck ?? now + periods.sync
        quarrel.synced(at: now)
    }

    /// The kernel refused a change: everything is written anew, without a pause the first time.
    mutating func writeEverythingNow(at now: Instant) {
        needsFullSync = true
        pendingSince = pendingSince ?? now
        if consecutiveFailures <= 1 { earliestSync = nil }
    }

    /// A check could not begin; it is tried again soon.
    mutating func postponeCheck(at now: Instant) {
        nextCheck = now + .seconds(1)
    }

    /// Something may have been altered: the next check comes as soon as its share of time allows.
    ///
    /// Not while somebody undoes what is mended: each deed of theirs would be a reason to mend at once.
    mutating func hastenCheck(at now: Instant) {
        guard let next = nextCheck, contestedSince == nil else { return }
        nextCheck = min(next, max(now, earliestCheck ?? now))
    }

    /// A check has come to nothing, as the tables could not be read or a full sync came between.
    mutating func checkSkipped(at now: Instant, took duration: Duration) {
        nextCheck = now + min(max(periods.sync, duration * Self.checkShare), Self.longestCheckPause)
    }

    /// A check has ended that took `duration` of a core. Returns when the next one begins.
    @discardableResult
    mutating func checkEnded(at now: Instant, took duration: Duration, foundDamage: Bool) -> Instant {
        let pause = min(max(periods.sync, duration * Self.checkShare), Self.longestCheckPause)
        let next = now + pause
        nextCheck = next
        earliestCheck = now + min(duration * Self.checkShare, Self.longestCheckPause)
        if !foundDamage { quarrel.foundPeace() }
        return next
    }

    /// Damage was found: by a check, or between two checks.
    ///
    /// Returns true if it is mended at once. Otherwise somebody undoes each mending, and the next check mends.
    mutating func damageFound(at now: Instant, byCheck: Bool) -> Bool {
        let isContested = quarrel.damageFound(at: now, within: periods.sync)
        guard byCheck || !isContested else { return false }
        needsFullSync = true
        pendingSince = pendingSince ?? now
        // Whoever waits for traffic does not wait for the pause between two syncs, only for that after a failure.
        if consecutiveFailures == 0 { earliestSync = nil }
        quarrel.willMend()
        return true
    }
}

/// Whether somebody undoes what is mended.
private struct Quarrel {
    /// Undoings without a peaceful period in between that make a quarrel.
    static let limit = 2

    private(set) var since: ContinuousClock.Instant?
    private var isMending = false
    private var mendedAt: ContinuousClock.Instant?
    private var undoings = 0

    /// Returns true if there is a quarrel.
    mutating func damageFound(at now: ContinuousClock.Instant, within period: Duration) -> Bool {
        // What is found while a mending is under way is still the same damage.
        guard !isMending else { return since != nil }
        if let mendedAt, since != nil || now - mendedAt <= period * 2 {
            undoings += 1
        } else {
            undoings = 0
        }
        mendedAt = nil
        if undoings >= Self.limit, since == nil { since = now }
        return since != nil
    }

    mutating func willMend() { isMending = true }

    mutating func synced(at now: ContinuousClock.Instant) {
        guard isMending else { return }
        isMending = false
        mendedAt = now
    }

    /// A whole check has found everything as it should be.
    mutating func foundPeace() { self = Quarrel() }
}
