import ChainRenderer
import Foundation
import ProxyCore

extension ExplainReport {
    /// The walk as JSON, with a line end.
    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(document), as: UTF8.self) + "\n"
    }

    private var document: Document {
        Document(
            packet: .init(
                from: "\(packet.source)", to: destination, protocol: "\(packet.protocol.lowercaseName)",
                inInterface: packet.inInterface),
            outcome: result.fate.outcome, masquerade: result.fate.masquerades,
            ends: result.fate.branches.map { branch in
                .init(end: "\(branch.end)", share: branch.share, source: source(branch))
            },
            steps: result.steps.map { step in
                .init(
                    hook: step.hook, table: step.table, chain: step.chain, depth: step.depth,
                    rule: step.rule.map { step.isOfServers ? $0 : "-A \(step.chain) \($0)" }, entry: step.entry,
                    packets: step.packets, bytes: step.bytes,
                    share: step.share, service: step.service)
            },
            summary: sentences, notes: result.notes)
    }

    /// The source that the receiver sees; nil where nothing receives the packet.
    private func source(_ branch: PacketFate.Branch) -> String? {
        switch branch.end {
        case .reject, .drop: return nil
        default: break
        }
        switch branch.source {
        case .unchanged: return "\(packet.source)"
        case .masqueraded: return "masqueraded"
        case .translated(let address): return "\(address)"
        }
    }
}

private struct Document: Encodable {
    struct Packet: Encodable {
        var from: String
        var to: String
        var `protocol`: String
        var inInterface: String?
    }

    struct End: Encodable {
        /// As in a flows table: an endpoint, REJECT, DROP, ACCEPT or `-`.
        var end: String
        var share: Double
        /// An address, or `masqueraded`.
        var source: String?
    }

    struct Step: Encodable {
        var hook: String
        var table: String
        var chain: String
        var depth: Int
        /// Absent where the chain's policy dropped the packet.
        var rule: String?
        /// What the rule found in a set.
        var entry: String?
        var packets: UInt64?
        var bytes: UInt64?
        var share: Double
        var service: String?
    }

    var packet: Packet
    var outcome: String
    var masquerade: Bool
    var ends: [End]
    var steps: [Step]
    var summary: [String]
    var notes: [String]
}
