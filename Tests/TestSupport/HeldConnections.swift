import Foundation
import Synchronization

/// A client in a host of a lab that opens connections, keeps them and asks over them, one after the other.
///
/// It ends, and its connections with it, when the last reference to it goes.
package final class HeldConnections: Sendable {
    /// A connection, by its number.
    package struct Connection: Sendable, CustomStringConvertible {
        package let number: Int
        /// The server that it reached, or a word for what went wrong.
        package let server: String

        package var description: String { "\(number) to \(server)" }
    }

    private let pid: pid_t
    /// Its standard input and output.
    private let channel: Int32
    private let count = Mutex(0)

    /// - Parameter milliseconds: how long an answer is waited for.
    package init(from host: String, of lab: TrafficLab, timeout milliseconds: Int = 1500) throws {
        let ends = try Command.pipe()
        defer { close(ends.writing) }
        channel = ends.reading
        // Whoever waits for what never comes fails.
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let command = [BuiltProducts.trafficPeer, "hold", "--timeout", String(milliseconds)]
        pid = try Command.start(lab.inside(host, command), descriptors: [ends.writing, ends.writing, -1])
        guard try line() == "ready" else { throw CommandFailure("the client in \(host) did not start") }
    }

    deinit {
        close(channel)
        Command.wait(for: pid)
    }

    /// Opens one connection after the other, and asks over each.
    package func open(
        _ address: String, _ port: UInt16, over transport: TrafficLab.Transport = .tcp, count: Int = 1
    ) throws -> [Connection] {
        try (0..<count).map { _ in
            let server = try answer(to: "open \(transport) \(address) \(port)")
            let number = self.count.withLock { count in
                count += 1
                return count - 1
            }
            return Connection(number: number, server: server)
        }
    }

    /// Who answers now; a word for what went wrong, such as `closed`.
    package func ask(_ connection: Connection) throws -> String { try answer(to: "ask \(connection.number)") }

    /// Ends a connection by a reset.
    package func reset(_ connection: Connection) throws { _ = try answer(to: "reset \(connection.number)") }

    private func answer(to question: String) throws -> String {
        let bytes = Array((question + "\n").utf8)
        guard send(channel, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw CommandFailure("the client that keeps connections has ended")
        }
        return try line()
    }

    private func line() throws -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while recv(channel, &byte, 1, 0) == 1 {
            if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        throw CommandFailure("the client that keeps connections did not answer")
    }
}
