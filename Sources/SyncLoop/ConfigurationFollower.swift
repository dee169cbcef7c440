import EndpointWatcher
import Foundation
import Glibc
public import Logging
public import ProxyCore
import Synchronization

/// Notices that a configuration file has become another one.
///
/// A file that cannot be read or is refused changes nothing: the last good configuration holds, and `problem` says so
/// until the file is mended.
public final class ConfigurationFollower: Sendable {
    private let path: String
    private let logger: Logger
    private let found = Mutex<String?>(nil)

    private static let period = Duration.seconds(1)

    public init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    /// Why the file as it is now is not in force, as a sentence; nil if it is.
    public var problem: String? { found.withLock { $0 } }

    /// Returns the next configuration that differs from `current`, with what there is to say of it; nil when the task
    /// is cancelled.
    public func next(after current: ProxyConfiguration) async -> (ProxyConfiguration, [Diagnostic])? {
        var known: Signature?
        while !Task.isCancelled {
            let signature = Signature(ofFileAt: path)
            if signature != known {
                known = signature
                if let new = read(), new.0 != current { return new }
            }
            try? await Task.sleep(for: Self.period)
        }
        return nil
    }

    private func read() -> (ProxyConfiguration, [Diagnostic])? {
        do {
            let new = try ConfigurationReader.read(path: path)
            found.withLock { $0 = nil }
            return new
        } catch {
            let problem = "The configuration in \(path) is not taken over: \(error)"
            if self.problem != problem { logger.error("\(problem)") }
            found.withLock { $0 = problem }
        }
        return nil
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
