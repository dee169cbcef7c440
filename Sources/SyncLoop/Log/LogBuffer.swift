import Dispatch
import Synchronization

/// The lines between those who log and the thread that writes. Bounded; nobody who logs waits.
final class LogBuffer: Sendable {
    /// What the writing thread takes at once.
    struct Batch {
        var lines: [[UInt8]] = []
        /// Lines that found the buffer full: all of them come after `lines`.
        var refusedCount = 0
        /// To be told when the batch has been dealt with.
        var waiters: [DispatchSemaphore] = []
    }

    private struct State {
        var batch = Batch()
        var byteCount = 0
        var isOver = false
    }

    private let capacity: Int
    private let state = Mutex(State())
    /// Signalled when there may be something to take.
    private let work = DispatchSemaphore(value: 0)
    private let dropped = Atomic(0)

    /// A buffer of so many bytes.
    init(capacity: Int) {
        self.capacity = capacity
    }

    var droppedCount: Int { dropped.load(ordering: .relaxed) }

    func noteDropped(_ count: Int) {
        dropped.add(count, ordering: .relaxed)
    }

    func append(_ line: [UInt8]) {
        let isFirst = state.withLock { state in
            // Once a line was refused all are, until the buffer is taken: so it is known where they are missing.
            guard state.batch.refusedCount == 0, state.byteCount + line.count <= capacity else {
                state.batch.refusedCount += 1
                noteDropped(1)
                return false
            }
            state.batch.lines.append(line)
            state.byteCount += line.count
            return state.batch.lines.count == 1
        }
        if isFirst { work.signal() }
    }

    /// Waits for lines; nil after `end` when everything was taken.
    func take() -> Batch? {
        while true {
            let (batch, isOver) = state.withLock { state in
                defer {
                    state.batch = Batch()
                    state.byteCount = 0
                }
                return (state.batch, state.isOver)
            }
            if !batch.lines.isEmpty || batch.refusedCount > 0 || !batch.waiters.isEmpty { return batch }
            if isOver { return nil }
            work.wait()
        }
    }

    /// Waits until all lines so far were dealt with, but no longer than the limit; false if they were not.
    func flush(within limit: Duration) -> Bool {
        let done = DispatchSemaphore(value: 0)
        state.withLock { $0.batch.waiters.append(done) }
        work.signal()
        let nanoseconds = limit.components.seconds * 1_000_000_000 + limit.components.attoseconds / 1_000_000_000
        return done.wait(timeout: .now() + .nanoseconds(Int(nanoseconds))) == .success
    }

    func end() {
        state.withLock { $0.isOver = true }
        work.signal()
    }
}
