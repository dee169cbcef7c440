import Foundation

/// Asks a running daemon what it says of itself.
public enum StatusClient {
    /// No document is longer: whoever sends more is no daemon of ours.
    private static let sizeLimit = 1 << 24

    /// The document that the daemon at a socket gives, as it came. Blocks until it is there or the time is over.
    public static func read(
        path: String = StatusServer.defaultPath, within limit: Duration = .seconds(2)
    ) throws(StatusSocketError) -> [UInt8] {
        let deadline = ContinuousClock.now + limit
        let socket = try UnixSocket()
        var code = try socket.connect(to: path)
        // The daemon's queue is full: others ask too.
        while code == EAGAIN, .now < deadline {
            usleep(10_000)
            code = try socket.connect(to: path)
        }
        switch code {
        case 0: break
        case ENOENT, ECONNREFUSED: throw .notRunning(path: path)
        case EAGAIN: throw .noAnswer(path: path, process: nil)
        default: throw StatusSocketError("connect to", path, errno: code)
        }
        let process = socket.peer
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while bytes.count < sizeLimit {
            guard socket.wait(for: POLLIN, until: deadline) else { throw .noAnswer(path: path, process: process) }
            let count = recv(socket.descriptor, &piece, piece.count, 0)
            if count > 0 {
                bytes += piece[..<count]
            } else if count == 0 {
                guard !bytes.isEmpty else { throw .noAnswer(path: path, process: process) }
                return bytes
            } else if errno != EINTR, errno != EAGAIN {
                throw StatusSocketError("read from", path, errno: errno)
            }
        }
        throw .failed(operation: "read from", path: path, reason: "the answer has no end")
    }
}
