public import Foundation
import Synchronization

/// `switchyard run` in a namespace, with a status socket and a log of its own. Killed with the last reference to it.
public final class DaemonProcess: Sendable {
    public let namespace: Namespace
    public let pid: Int32
    /// A folder of this daemon's own: its socket, its log, and whatever a test puts there.
    public let folder: URL
    private let executable: String
    private let isOver = Mutex(false)

    public var logFile: URL { folder.appending(path: "log") }
    public var statusSocket: URL { folder.appending(path: "status.sock") }

    /// - Parameters:
    ///   - executable: the path of `switchyard`.
    ///   - standardError: where the log goes; a file of its own if nil.
    public init(
        _ executable: String, in namespace: Namespace, _ arguments: [String], environment: [String: String] = [:],
        standardError: String? = nil
    ) throws {
        self.executable = executable
        self.namespace = namespace
        folder = FileManager.default.temporaryDirectory.appending(path: "daemon-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        let log = open(
            standardError ?? folder.appending(path: "log").path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        defer { [null, log].forEach { close($0) } }
        let socket = folder.appending(path: "status.sock").path
        // A lock file of the namespace's own, as network namespaces share the file system.
        let lock = Command.temporaryDirectory.appending(path: "\(namespace.name).lock").path
        let variables = ["XTABLES_LOCKFILE": lock].merging(environment) { $1 }
        pid = try Command.start(
            namespace.commandPrefix + [executable, "run", "--status-socket", socket] + arguments,
            descriptors: [null, null, log], environment: variables)
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: folder)
    }

    public var log: String { (try? String(contentsOf: logFile, encoding: .utf8)) ?? "" }

    /// The document that the daemon gives at its socket; nil while nobody answers.
    public func status() -> [String: Any]? {
        statusDocument().flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
    }

    /// The same as it came. Asked for without a process, as tests ask often.
    public func statusDocument() -> Data? {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: statusSocket.path.utf8) }
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        guard isConnected else { return nil }
        var document = Data()
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            guard count > 0 else { return count == 0 && !document.isEmpty ? document : nil }
            document.append(contentsOf: piece[..<count])
        }
    }

    /// Waits until a condition holds; false if it does not within the time.
    public static func wait(
        _ time: Duration = .seconds(20), every pause: Duration = .milliseconds(50), until condition: () throws -> Bool
    ) async rethrows -> Bool {
        let end = ContinuousClock.now + time
        while try !condition() {
            guard ContinuousClock.now < end else { return false }
            try? await Task.sleep(for: pause)
        }
        return true
    }

    /// Waits until every family has been synced and nothing is amiss.
    public func waitUntilHealthy(_ time: Duration = .seconds(20)) async -> Bool {
        await Self.wait(time) { status()?["healthy"] as? Bool == true }
    }

    /// Asks it to end, and returns its exit status, 128 and more for a signal.
    @discardableResult
    public func stop() -> Int32 {
        end(SIGTERM)
    }

    /// Ends it on the spot. What it has started lives on.
    public func kill() {
        end(SIGKILL)
    }

    @discardableResult
    private func end(_ signal: Int32) -> Int32 {
        isOver.withLock { isOver in
            guard !isOver else { return 0 }
            isOver = true
            Foundation.kill(pid, signal)
            return Command.wait(for: pid)
        }
    }
}
