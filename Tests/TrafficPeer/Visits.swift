import Glibc

/// Opens a new connection to one server after the other, again and again, until standard input ends.
struct Visits {
    var servers: [SocketAddress] = []
    /// Milliseconds from the beginning of one connection to that of the next.
    var period = 5
    var timeout = 3000

    /// Prints a line for each visit that came to nothing: milliseconds since the epoch, the server, what happened and
    /// the milliseconds that it took. At the end a count and an answer per line, and the longest visit.
    func run() {
        var counts: [String: Int] = [:]
        var longest = 0.0
        var number = 0
        while !inputHasEnded() {
            let server = servers[number % servers.count]
            number += 1
            let start = milliseconds()
            let answer = Client(transport: .tcp, server: server, timeout: timeout).ask()
            let duration = milliseconds() - start
            longest = max(longest, duration)
            let words = answer.split(separator: " ")
            // A server answers with its name and the address that it sees.
            if words.count == 2, !answer.hasPrefix("error") {
                counts[String(words[0]), default: 0] += 1
            } else {
                let reason = answer.isEmpty ? "closed" : answer
                counts[reason, default: 0] += 1
                say("failed\t\(millisecondsSinceEpoch())\t\(server.host)\t\(reason)\t\(Int(duration))")
            }
            let rest = start + Double(period) - milliseconds()
            if rest > 0 { usleep(UInt32(rest * 1000)) }
        }
        for (answer, count) in counts.sorted(by: { $0.key < $1.key }) { say("count\t\(count)\t\(answer)") }
        say("longest\t\(Int(longest))")
    }

    private func inputHasEnded() -> Bool {
        var entry = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 0) > 0 else { return false }
        var byte: UInt8 = 0
        return read(0, &byte, 1) <= 0
    }
}
