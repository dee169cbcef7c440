import Foundation
import TestSupport

/// A client that keeps asking, one socket a flow, and what became of each datagram.
final class FlowStream: Sendable {
    struct Answer: Sendable {
        /// Seconds since 1970.
        var time: Double
        /// The server's name, or a word such as `refused`.
        var text: String
    }

    let flows: [UDPCluster.Flow]
    let family: Int
    private let file: URL
    private let client: RunningCommand

    /// - Parameter family: 0 for IPv4, 1 for IPv6.
    init(_ flows: [UDPCluster.Flow], family: Int, from host: String, of lab: TrafficLab) throws {
        self.flows = flows
        self.family = family
        file = FileManager.default.temporaryDirectory.appending(path: "stream-\(UUID().uuidString)")
        let targets = flows.flatMap { ["--\($0.transport)", $0.addresses[family], String($0.port)] }
        let command = [BuiltProducts.trafficPeer, "stream", "--interval", "25"] + targets
        client = try RunningCommand(
            lab.inside(host, ["sh", "-c", #"out=$1; shift; exec "$@" >"$out" 2>&1"#, "sh", file.path] + command))
    }

    deinit {
        client.stop()
        try? FileManager.default.removeItem(at: file)
    }

    /// The answers to each flow so far.
    func answers() throws -> [[Answer]] {
        var answers: [[Answer]] = Array(repeating: [], count: flows.count)
        // There is none before the client has begun.
        guard FileManager.default.fileExists(atPath: file.path) else { return answers }
        let text = try String(contentsOf: file, encoding: .utf8)
        // The last line may be half written.
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            let fields = line.split(separator: "\t")
            guard fields.count == 3, let time = Double(fields[0]), let flow = Int(fields[1]), flow < flows.count else {
                throw CommandFailureText(text: String(line))
            }
            answers[flow].append(.init(time: time / 1000, text: String(fields[2])))
        }
        return answers
    }

    /// True if every flow is settled on this answer.
    func isSettled(on text: String) throws -> Bool {
        try answers().allSatisfy { Self.isSettled($0, on: text) }
    }

    /// Who has answered on the first flow, and what else became of it. An answer that comes late is one to the next
    /// question.
    func servers() throws -> Set<String> {
        Set(try answers().first?.map(\.text) ?? []).subtracting(["timeout"])
    }

    /// Ends the client, and with it its sockets.
    func stop() { client.stop() }

    /// True if each flow is settled on what it should be.
    func isSettled(on wanted: KeyPath<UDPCluster.Flow, String>) throws -> Bool {
        try zip(flows, answers()).allSatisfy { flow, answers in
            Self.isSettled(answers, on: flow[keyPath: wanted])
        }
    }

    /// True if more than half of the last twenty answers are this one, and the others came too late for their round, as
    /// some do on a busy machine.
    private static func isSettled(_ answers: [Answer], on text: String) -> Bool {
        let last = answers.suffix(20).map(\.text)
        return last.count { $0 == text } > 10 && last.allSatisfy { $0 == text || $0 == "timeout" }
    }

    /// What the client printed that is no answer.
    struct CommandFailureText: Error, CustomStringConvertible {
        var text: String
        var description: String { "the client says: \(text)" }
    }
}
