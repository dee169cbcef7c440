import Dispatch

/// Runs an actor's jobs on a queue with a thread of its own, where they may block.
///
/// An actor keeps one and returns `asUnownedSerialExecutor()` as its `unownedExecutor`.
package final class BlockingExecutor: SerialExecutor {
    private let queue: DispatchQueue

    /// - Parameter label: what debuggers call the queue.
    package init(label: String) {
        queue = DispatchQueue(label: label)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedSerialExecutor()
        queue.async { job.runSynchronously(on: executor) }
    }
}
