import Foundation

/// Why the status socket of a daemon cannot be opened or asked.
public enum StatusSocketError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nobody answers at the path.
    case notRunning(path: String)
    /// A daemon, which has the process number where that is known, did not answer completely in time.
    case noAnswer(path: String, process: Int32?)
    /// A living daemon has the socket that another one wants.
    case inUse(path: String, process: Int32?)
    /// The operation failed; the sentence is the system's.
    case failed(operation: String, path: String, reason: String)

    init(_ operation: String, _ path: String, errno code: Int32) {
        self = .failed(operation: operation, path: path, reason: String(cString: strerror(code)))
    }

    public var description: String {
        switch self {
        case .notRunning(let path): "No daemon is running: nobody answers at the socket \(path)."
        case .noAnswer(let path, let process):
            "The daemon\(Self.named(process)) does not answer at the socket \(path)."
        case .inUse(let path, let process):
            "The socket \(path) belongs to a daemon that is running\(Self.named(process)): "
                + "stop it, or name another with --status-socket."
        case .failed(let operation, let path, let reason): "Cannot \(operation) the socket \(path): \(reason)."
        }
    }

    private static func named(_ process: Int32?) -> String { process.map { " (process \($0))" } ?? "" }
}

/// A descriptor of a Unix stream socket, closed with its last owner.
final class UnixSocket: Sendable {
    /// Where a daemon answers unless told otherwise.
    static let defaultPath = "/run/switchyard.sock"

    let descriptor: Int32

    /// Takes a descriptor over.
    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    init() throws(StatusSocketError) {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw StatusSocketError("open", "", errno: errno) }
    }

    deinit {
        // A program that was started meanwhile may have inherited the descriptor: the peer must not wait for it.
        if descriptor >= 0 {
            shutdown(descriptor, Int32(SHUT_RDWR))
            close(descriptor)
        }
    }

    /// The process at the other end.
    var peer: Int32? {
        // struct ucred, which Swift does not see: process, user and group, 32 bits each.
        var credentials: [Int32] = [0, 0, 0]
        var length = socklen_t(MemoryLayout<Int32>.size * credentials.count)
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0, credentials[0] > 0 else {
            return nil
        }
        return credentials[0]
    }

    /// Connects; returns errno, 0 if that succeeded.
    func connect(to path: String) throws(StatusSocketError) -> Int32 {
        try Self.withAddress(path) { Foundation.connect(descriptor, $0, $1) == 0 ? 0 : errno }
    }

    /// Binds; returns errno, 0 if that succeeded.
    func bind(to path: String) throws(StatusSocketError) -> Int32 {
        try Self.withAddress(path) { Foundation.bind(descriptor, $0, $1) == 0 ? 0 : errno }
    }

    /// Waits for an event of poll(2); false when the time is over.
    func wait(for event: Int32, until deadline: ContinuousClock.Instant) -> Bool {
        while true {
            let left = deadline - .now
            guard left > .zero else { return false }
            let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
            var state = pollfd(fd: descriptor, events: Int16(event), revents: 0)
            let count = poll(&state, 1, Int32(min(milliseconds + 1, 60_000)))
            if count > 0 { return true }
            if count < 0, errno != EINTR { return false }
        }
    }

    private static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(StatusSocketError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        // The kernel wants the zero after it too.
        guard !bytes.isEmpty, bytes.count < room, !bytes.contains(0) else {
            throw .failed(operation: "name", path: path, reason: "a path has 1 to \(room - 1) bytes")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
