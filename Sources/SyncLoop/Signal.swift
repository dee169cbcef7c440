import Synchronization

/// Wakes the one task that waits for it; raised while nobody waits, it ends the next wait at once.
final class Signal: Sendable {
    private struct State {
        var isRaised = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func raise() {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            defer { state.waiter = nil }
            if state.waiter == nil { state.isRaised = true }
            return state.waiter
        }?.resume()
    }

    /// Returns when it is raised, at the latest at `end`, and when the task is cancelled. One task waits at a time.
    func wait(until end: ContinuousClock.Instant? = nil) async {
        let timer = end.map { end in
            Task {
                try? await ContinuousClock().sleep(until: end)
                if !Task.isCancelled { raise() }
            }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isRaised || Task.isCancelled {
                        state.isRaised = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            raise()
        }
        timer?.cancel()
    }
}
