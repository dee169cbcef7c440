/// The time, which tests move by hand.
package protocol WatchClock: Sendable {
    var now: ContinuousClock.Instant { get }

    /// Throws `CancellationError` when the task is cancelled.
    func sleep(until deadline: ContinuousClock.Instant) async throws
}

/// The real time.
struct SystemWatchClock: WatchClock {
    var now: ContinuousClock.Instant { ContinuousClock.now }

    func sleep(until deadline: ContinuousClock.Instant) async throws {
        try await Task.sleep(until: deadline, clock: .continuous)
    }
}
