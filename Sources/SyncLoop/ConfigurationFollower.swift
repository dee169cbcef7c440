import EndpointWatcher
import Foundation
import Glibc
public import Logging
public import ProxyCore
import Synchronization

/// Notices that a configuration file has become another one.
///
/// A file that cannot be read, is refused, or asks for what this node lacks changes nothing: the last good configuration
/// holds, and `problem` says so until the file is mended, or the node.
public final class ConfigurationFollower: Sendable {
    private let path: String
    private let logger: Logger
    private let found = Mutex<String?>(nil)

    private static let period = Duration.seconds(1)
    /// After which one that the node could not be served by is tried again.
    private static let pause = Duration.seconds(30)

    public init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    /// Why the file as it is now is not in force, as a sentence; nil if it is.
    public var problem: String? { found.withLock { $0 } }

    /// Returns what is made of the next configuration that differs from `current`; nil when the task is cancelled.
    ///
    /// - Parameter make: fails where the node cannot be served by it. It is called again when the file changes, and from
    ///   time to time, as the node may get what it lacks.
    public func next<Value>(
        after current: ProxyConfiguration, _ make: (ProxyConfiguration, [Diagnostic]) async throws -> Value
    ) async -> Value? {
        var known: Signature?
        var nextAttempt: ContinuousClock.Instant?
        while !Task.isCancelled {
            let signature = Signature(ofFileAt: path)
            if signature != known || nextAttempt.map({ $0 <= .now }) == true {
                known = signature
                nextAttempt = nil
                do {
                    let (new, diagnostics) = try ConfigurationReader.read(path: path)
                    if new != current {
                        nextAttempt = .now + Self.pause
                        let value = try await make(new, diagnostics)
                        note(nil)
                        return value
                    }
                    note(nil)
                } catch {
                    note("The configuration in \(path) is not taken over: \(error)")
                }
            }
            try? await Task.sleep(for: Self.period)
        }
        return nil
    }

    private func note(_ problem: String?) {
        if let problem, self.problem != problem { logger.error("\(problem)") }
        found.withLock { $0 = problem }
    }

    /// By what a changed file is told: a file written over, renamed onto, or behind a link that was swapped.
    private struct Signature: Hashable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int

        init?(ofFileAt path: String) {
            var information = stat()
            guard stat(path, &information) == 0 else { return nil }
            inode = UInt64(information.st_ino)
            size = Int64(information.st_size)
            seconds = information.st_mtim.tv_sec
            nanoseconds = information.st_mtim.tv_nsec
        }
    }
}
