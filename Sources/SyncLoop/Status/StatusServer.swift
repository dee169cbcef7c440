import Foundation
import Synchronization

/// Answers on a Unix socket what the daemon says of itself: one document for each connection, then its end.
///
/// Only the user that the daemon runs as can connect. Whoever does not read is given up after two seconds, and does not
/// keep anybody waiting.
public final class StatusServer: Sendable {
    public static let defaultPath = UnixSocket.defaultPath

    /// More at a time are closed without an answer.
    static let connectionLimit = 16

    private let path: String
    private let socket: UnixSocket
    private let file: FileIdentity
    private let connections: ConnectionCount
    private let isStopped = Atomic(false)

    /// Opens the socket and answers at once. What a dead daemon has left at the path is replaced.
    ///
    /// Throws where a living one answers there, where there is a file that is no socket, and where the path cannot be
    /// used.
    public convenience init(
        path: String = StatusServer.defaultPath, status: @escaping @Sendable () async -> DaemonStatus
    ) throws(StatusSocketError) {
        try self.init(path: path, patience: .seconds(2), status: status)
    }

    /// - Parameter patience: how long somebody who does not read is waited for.
    init(
        path: String, patience: Duration, status: @escaping @Sendable () async -> DaemonStatus
    ) throws(StatusSocketError) {
        self.path = path
        socket = try Self.bound(to: path)
        guard listen(socket.descriptor, 16) == 0 else { throw StatusSocketError("listen at", path, errno: errno) }
        guard let file = FileIdentity(path) else { throw StatusSocketError("find", path, errno: errno) }
        self.file = file
        connections = ConnectionCount()
        let acceptor = Acceptor(socket: socket, connections: connections, patience: patience, status: status)
        let thread = Thread { acceptor.run() }
        thread.name = "status"
        thread.start()
    }

    deinit { stop() }

    /// Closes the socket and removes its file, unless that is another daemon's by now.
    public func stop() {
        guard !isStopped.exchange(true, ordering: .relaxed) else { return }
        if FileIdentity(path) == file { unlink(path) }
        // This wakes the thread that accepts.
        shutdown(socket.descriptor, Int32(SHUT_RDWR))
    }

    private static func bound(to path: String) throws(StatusSocketError) -> UnixSocket {
        let socket = try UnixSocket()
        // The file that bind makes has this mode: there is no moment in which others could connect.
        fchmod(socket.descriptor, 0o600)
        // The second attempt is the one after a dead daemon's file was removed.
        for isLast in [false, true] {
            let code = try socket.bind(to: path)
            if code == 0 { return socket }
            guard code == EADDRINUSE, !isLast else { throw StatusSocketError("open", path, errno: code) }
            try removeStale(path)
        }
        throw StatusSocketError("open", path, errno: EADDRINUSE)
    }

    private static func removeStale(_ path: String) throws(StatusSocketError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw .failed(operation: "open", path: path, reason: "there is a file that is not a socket")
        }
        let probe = try UnixSocket()
        switch try probe.connect(to: path) {
        case ECONNREFUSED: unlink(path)
        case ENOENT: break
        // A daemon that has no time to accept lives all the same.
        case 0, EAGAIN: throw .inUse(path: path, process: probe.peer)
        case let code: throw StatusSocketError("open", path, errno: code)
        }
    }
}

/// Which file a path leads to.
private struct FileIdentity: Hashable {
    private let device: UInt
    private let inode: UInt

    init?(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        device = UInt(status.st_dev)
        inode = UInt(status.st_ino)
    }
}

/// The number of connections that are being answered.
private final class ConnectionCount: Sendable {
    private let count = Atomic(0)

    /// False if there are too many already.
    func begin() -> Bool {
        guard count.add(1, ordering: .relaxed).newValue <= StatusServer.connectionLimit else {
            end()
            return false
        }
        return true
    }

    func end() { count.subtract(1, ordering: .relaxed) }
}

/// Accepts connections on a thread of its own.
private struct Acceptor: Sendable {
    let socket: UnixSocket
    let connections: ConnectionCount
    let patience: Duration
    let status: @Sendable () async -> DaemonStatus

    func run() {
        while true {
            let descriptor = accept(socket.descriptor, nil, nil)
            let code = errno
            guard descriptor < 0 else {
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
                answer(UnixSocket(descriptor: descriptor))
                continue
            }
            switch code {
            case EAGAIN:
                var state = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
                poll(&state, 1, -1)
                // A socket without blocking that was shut down has nothing to accept for ever, and says so by this.
                if state.revents & Int16(POLLHUP) != 0 { return }
            case EINTR, ECONNABORTED: break
            // No descriptors or no memory for the moment.
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(100_000)
            default: return
            }
        }
    }

    private func answer(_ connection: UnixSocket) {
        guard connections.begin() else { return }
        Task {
            let document = try? await status().document()
            // Whoever does not read keeps a thread of its own waiting, not one of the few that tasks have.
            Thread {
                if let document { connection.send(document, within: patience) }
                connections.end()
            }.start()
        }
    }
}

extension UnixSocket {
    /// Sends as much as is taken in the time.
    fileprivate func send(_ bytes: [UInt8], within limit: Duration) {
        let deadline = ContinuousClock.now + limit
        var sent = 0
        while sent < bytes.count {
            let (count, code) = bytes[sent...].withUnsafeBytes { rest in
                let count = Foundation.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
                return (count, count < 0 ? errno : 0)
            }
            switch code {
            case 0: sent += count
            case EINTR: break
            case EAGAIN: guard wait(for: POLLOUT, until: deadline) else { return }
            default: return
            }
        }
    }
}
