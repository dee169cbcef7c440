extension TrafficLab {
    package enum Transport: String, CaseIterable, Sendable {
        case tcp
        case udp
    }

    /// What a client saw of one connection or datagram.
    package struct Answer: Sendable, CustomStringConvertible {
        package enum Outcome: Hashable, Sendable {
            /// The name of the server, and the address that it saw the client under.
            case reply(server: String, client: String)
            case refused
            case timeout
            case unreachable
            case other(String)
        }

        package var outcome: Outcome
        package var milliseconds: Double

        package var server: String? {
            if case .reply(let server, _) = outcome { server } else { nil }
        }

        package var client: String? {
            if case .reply(_, let client) = outcome { client } else { nil }
        }

        package var description: String { "\(outcome) after \(milliseconds) ms" }

        init(line: Substring) {
            let parts = line.split(separator: "\t")
            let words = (parts.first ?? "").split(separator: " ")
            outcome =
                switch words {
                case ["refused"]: .refused
                case ["timeout"]: .timeout
                case ["unreachable"]: .unreachable
                case _ where words.count == 2: .reply(server: String(words[0]), client: String(words[1]))
                default: .other(String(line))
                }
            milliseconds = parts.last.flatMap { Double($0) } ?? 0
        }
    }

    /// Who asks whom, and how often.
    package struct Question: Sendable {
        package var client: String
        package var transport: Transport
        package var address: String
        package var port: UInt16
        package var count = 1
        /// With several sources each makes `count` attempts in its turn.
        package var sources: [String] = []
        /// The source port of the first attempt from each source, which needs `sources`; the others have those after it.
        package var firstPort: UInt16?
        package var milliseconds = 1500

        package init(_ client: String, _ transport: Transport, _ address: String, _ port: UInt16) {
            self.client = client
            self.transport = transport
            self.address = address
            self.port = port
        }

        fileprivate var command: [String] {
            var command = [BuiltProducts.trafficPeer, "ask", "--\(transport)", address, String(port)]
            command += ["--count", String(count), "--timeout", String(milliseconds)]
            command += sources.flatMap { ["--source", $0] }
            if let firstPort { command += ["--first-port", String(firstPort)] }
            return command
        }
    }

    /// Connects or sends from a host, or the node, each time from a new port; one answer for each attempt.
    ///
    /// After three timeouts in a row it gives up.
    package func ask(
        from host: String, _ transport: Transport, _ address: String, _ port: UInt16, count: Int = 1,
        sources: [String] = [], firstPort: UInt16? = nil, timeout milliseconds: Int = 1500
    ) throws -> [Answer] {
        var question = Question(host, transport, address, port)
        question.count = count
        question.sources = sources
        question.firstPort = firstPort
        question.milliseconds = milliseconds
        return try ask([question]).flatMap { $0 }
    }

    /// Asks several questions at once, and returns the answers to each.
    package func ask(_ questions: [Question]) throws -> [[Answer]] {
        let results = try Command.runAll(questions.map { inside($0.client, $0.command) })
        return try results.map { result in
            guard result.status == 0 else {
                throw CommandFailure("a client ended with \(result.status): \(result.errors)")
            }
            return result.output.split(separator: "\n").map(Answer.init(line:))
        }
    }
}
