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

    /// Connects or sends from a host, or the node, each time from a new port; one answer for each attempt.
    ///
    /// With several sources each makes `count` attempts in its turn. After three timeouts in a row it gives up.
    package func ask(
        from host: String, _ transport: Transport, _ address: String, _ port: UInt16, count: Int = 1,
        sources: [String] = [], timeout milliseconds: Int = 1500
    ) throws -> [Answer] {
        let command =
            [BuiltProducts.trafficPeer, "ask", "--\(transport)", address, String(port), "--count", String(count)]
            + ["--timeout", String(milliseconds)] + sources.flatMap { ["--source", $0] }
        let output = try Command.require(inside(host, command))
        return output.split(separator: "\n").map(Answer.init(line:))
    }
}
