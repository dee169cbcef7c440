import Glibc

/// Asks servers again and again, each over one socket: all datagrams to a server belong to one flow.
struct Stream {
    private struct Target {
        let transport: Transport
        let server: SocketAddress
        var descriptor: Int32 = -1
        /// What this round has come to; nil while an answer may still come.
        var answer: String?
    }

    private var targets: [Target] = []
    /// Milliseconds between two rounds.
    var interval = 25

    mutating func add(_ transport: Transport, _ server: SocketAddress) {
        targets.append(Target(transport: transport, server: server))
    }

    /// Prints a line for each target and round: milliseconds since the epoch, the target's number and the answer.
    mutating func run() throws(Failure) -> Never {
        for index in targets.indices { targets[index].descriptor = try connected(targets[index]) }
        while true {
            let end = Deadline(after: interval)
            for index in targets.indices { targets[index].answer = ask(targets[index].descriptor) }
            while end.remainingMilliseconds > 0 { try receive(before: end) }
            let now = millisecondsSinceEpoch()
            for (index, target) in targets.enumerated() {
                say("\(now)\t\(index)\t\(target.answer ?? Failure.timeout.text)")
            }
        }
    }

    /// A connected socket that lives as long as the process. A connected UDP socket is told of ICMP errors.
    private func connected(_ target: Target) throws(Failure) -> Int32 {
        let type = target.transport.socketType | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(target.server.family, type, 0)
        guard descriptor >= 0 else { throw Failure(errno: errno) }
        let status = target.server.withPointer { connect(descriptor, $0, $1) }
        guard status == 0 else { throw Failure(errno: errno) }
        return descriptor
    }

    /// Sends; returns the error that was waiting at the socket, if any.
    private func ask(_ descriptor: Int32) -> String? {
        let bytes = Array("?\n".utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) < 0 else { return nil }
        let failure = Failure(errno: errno)
        // That was about the datagram before, and this one was not sent.
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        return failure.text
    }

    private mutating func receive(before end: Deadline) throws(Failure) {
        let waiting = targets.indices.filter { targets[$0].answer == nil }
        var entries = waiting.map { pollfd(fd: targets[$0].descriptor, events: Int16(POLLIN), revents: 0) }
        guard poll(&entries, nfds_t(entries.count), end.remainingMilliseconds) >= 0 else { throw Failure(errno: errno) }
        for (index, entry) in zip(waiting, entries) where entry.revents != 0 {
            var buffer = [UInt8](repeating: 0, count: 2048)
            let count = recv(entry.fd, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count < 0 {
                targets[index].answer = Failure(errno: errno).text
            } else if count == 0, targets[index].transport == .tcp {
                targets[index].answer = "closed"
            } else {
                let name = buffer.prefix(count).prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
                targets[index].answer = String(decoding: name, as: UTF8.self)
            }
        }
    }
}

func millisecondsSinceEpoch() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}
