import Glibc

/// Asks a server again and again, each time from a new source port.
struct Client {
    var transport: Transport
    var server: SocketAddress
    var source: SocketAddress?
    var timeout = 1000
    var usesHTTP = false

    /// Returns the server's answer in one line, or the word for what went wrong.
    func ask() -> String {
        do throws(Failure) {
            return try exchange()
        } catch {
            return error.text
        }
    }

    private func exchange() throws(Failure) -> String {
        let deadline = Deadline(after: timeout)
        let socket = try Socket(transport, family: server.family)
        if let source { try socket.bind(to: source) }
        // A connected UDP socket is told of ICMP errors.
        try socket.connect(to: server, before: deadline)
        if usesHTTP {
            try socket.send("GET / HTTP/1.1\r\nHost: \(server.host)\r\nConnection: close\r\n\r\n")
        } else if transport == .udp {
            do throws(Failure) {
                try socket.send("?\n")
            } catch .other(EPERM) {
                // A rule of this very host took the datagram; what it answers, if anything, is read below.
            }
        }
        var answer: [UInt8] = []
        repeat {
            try socket.wait(for: POLLIN, before: deadline)
            let part = try socket.receive()
            if part.isEmpty { break }
            answer += part
        } while transport == .tcp
        return usesHTTP ? httpBody(answer) : line(answer[...])
    }

    /// The body of a response with status 200, its lines joined; else the status line.
    private func httpBody(_ response: [UInt8]) -> String {
        let lines = response.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard let status = lines.first else { return "empty answer" }
        guard status.starts(with: "HTTP/1.1 200".utf8) else { return line(status) }
        let body = lines.drop { $0 != [UInt8(ascii: "\r")] }.dropFirst()
        return body.map(line).filter { !$0.isEmpty }.joined(separator: "; ")
    }

    private func line(_ bytes: ArraySlice<UInt8>) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        return String(text.prefix { $0 != "\n" && $0 != "\r" && $0 != "\r\n" })
    }
}
