import Glibc

/// Opens connections, keeps them and asks over them, as lines on standard input say. Each line is answered by one.
struct Holder {
    /// A class, as an array takes no socket.
    private final class Connection {
        let socket: Socket

        init(_ socket: consuming Socket) {
            self.socket = socket
        }
    }

    var timeout = 1500
    /// Nil for what could not be opened, or was closed.
    private var connections: [Connection?] = []

    /// Returns at the end of the input; what is open then is closed.
    mutating func run() {
        say("ready")
        while let line = readLine() { say(answer(line.split(separator: " ").map(String.init))) }
    }

    private mutating func answer(_ words: [String]) -> String {
        switch words.first {
        case "open" where words.count == 4:
            guard let transport = Transport(rawValue: words[1]), let port = UInt16(words[3]),
                let server = SocketAddress(host: words[2], port: port)
            else { return "open what?" }
            return open(transport, server)
        case "ask" where words.count == 2:
            guard let connection = Int(words[1]).flatMap(connection) else { return "ask whom?" }
            do throws(Failure) {
                return try ask(connection)
            } catch {
                return error.text
            }
        case "reset" where words.count == 2:
            guard let number = Int(words[1]), connection(number) != nil else { return "reset what?" }
            connections[number] = nil
            return "gone"
        default: return "what?"
        }
    }

    private func connection(_ number: Int) -> Connection? {
        connections.indices.contains(number) ? connections[number] : nil
    }

    private mutating func open(_ transport: Transport, _ server: SocketAddress) -> String {
        do throws(Failure) {
            let socket = try Socket(transport, family: server.family)
            socket.resetsAtClose()
            try socket.connect(to: server, before: Deadline(after: timeout))
            let connection = Connection(socket)
            let answer = try ask(connection)
            connections.append(connection)
            return answer
        } catch {
            // What failed is counted too: whoever asks numbers what is opened.
            connections.append(nil)
            return error.text
        }
    }

    private func ask(_ connection: Connection) throws(Failure) -> String {
        try connection.socket.send("?\n")
        try connection.socket.wait(for: POLLIN, before: Deadline(after: timeout))
        let answer = try connection.socket.receive()
        if answer.isEmpty { return "closed" }
        let name = answer.prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
        return String(decoding: name, as: UTF8.self)
    }
}
