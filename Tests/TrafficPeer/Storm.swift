import Glibc

/// Connects as fast as it can, one connection after the other, and counts who answers.
///
/// The fewest calls that show who accepted: the sockets block, and wait for as long as the kernel tries to connect.
struct Storm {
    var server: SocketAddress
    var sources: [SocketAddress] = []
    /// How many connections from each source.
    var count = 1

    /// Prints a count and an answer per line once all is done, in one piece.
    func run() {
        var counts: [String: Int] = [:]
        var buffer = [UInt8](repeating: 0, count: 256)
        for source in sources {
            for _ in 0..<count { counts[answer(source, &buffer), default: 0] += 1 }
        }
        say(counts.sorted { $0.key < $1.key }.map { "\($0.value)\t\($0.key)" }.joined(separator: "\n"))
    }

    private func answer(_ source: SocketAddress, _ buffer: inout [UInt8]) -> String {
        do throws(Failure) {
            let socket = try Socket(.tcp, family: server.family)
            // The port is chosen when it is known where to, from those that are free for this server: by `bind` alone
            // it would have to be free for all.
            socket.set(Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, to: 1)
            socket.resetsAtClose()
            try socket.bind(to: source)
            guard server.withPointer({ connect(socket.descriptor, $0, $1) }) == 0 else { throw Failure(errno: errno) }
            let length = recv(socket.descriptor, &buffer, buffer.count, 0)
            guard length >= 0 else { throw Failure(errno: errno) }
            let name = buffer.prefix(length).prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
            return name.isEmpty ? "closed" : String(decoding: name, as: UTF8.self)
        } catch {
            return error.text
        }
    }
}
