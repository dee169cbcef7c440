import Synchronization

/// Whether programs that this process has started are at work: what is written meanwhile may be theirs.
///
/// Their numbers would not tell, as the kernel names writers by the numbers of the host, and we may see others.
package enum OwnProcesses {
    private struct State {
        var count = 0
        var lastEnd: ContinuousClock.Instant?
    }

    private static let state = Mutex(State())

    static func began() { state.withLock { $0.count += 1 } }

    static func ended() {
        state.withLock {
            $0.count -= 1
            $0.lastEnd = .now
        }
    }

    /// True if one is running, or was within this time.
    package static func wereRunning(within time: Duration) -> Bool {
        state.withLock { state in state.count > 0 || state.lastEnd.map { .now - $0 < time } == true }
    }
}
