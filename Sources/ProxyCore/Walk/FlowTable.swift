/// Packets and where they end, as a text: a line each, with tabs between source, protocol, destination, port, outcome
/// and masquerade.
public enum FlowTable {
    /// A line of a table.
    public struct Row: Hashable, Sendable {
        public let packet: Packet
        /// What stands behind the first four columns, if anything does.
        public let outcome: String?
        public let masquerade: String?
        /// The first four columns as they were read.
        fileprivate let text: Substring
    }

    public static let header = "# source\tprotocol\tdestination\tport\toutcome\tmasquerade\n"

    /// Reads a table. Empty lines and those that begin with `#` are left out.
    ///
    /// - Parameter name: what faults call the table.
    public static func read(_ table: String, name: String) throws(InputError) -> [Row] {
        var rows: [Row] = []
        var faults: [Diagnostic] = []
        for (index, line) in table.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            do throws(FlowFault) {
                rows.append(try row(line))
            } catch {
                faults.append(Diagnostic(.error, at: "\(name):\(index + 1)", error.sentence))
            }
        }
        guard faults.isEmpty else { throw InputError(faults) }
        return rows
    }

    private static func row(_ line: Substring) throws(FlowFault) -> Row {
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
        guard fields.count >= 4 else {
            throw FlowFault("a row needs source, protocol, destination and port, with tabs between them")
        }
        guard let source = IPAddress(String(fields[0])) else {
            throw FlowFault("source \"\(fields[0])\": not an IP address")
        }
        guard let transport = TransportProtocol(rawValue: fields[1].uppercased()) else {
            throw FlowFault("protocol \"\(fields[1])\": not tcp, udp or sctp")
        }
        guard let destination = IPAddress(String(fields[2])) else {
            throw FlowFault("destination \"\(fields[2])\": not an IP address")
        }
        guard let port = UInt16(fields[3]), port > 0 else {
            throw FlowFault("port \"\(fields[3])\": not a number from 1 to 65535")
        }
        guard let packet = Packet(from: source, to: destination, port: port, protocol: transport) else {
            throw FlowFault("source \(source) and destination \(destination) are of different families")
        }
        return Row(
            packet: packet, outcome: fields.count > 4 ? String(fields[4]) : nil,
            masquerade: fields.count > 5 ? String(fields[5]) : nil, text: line[..<fields[3].endIndex])
    }
}

extension FlowTable.Row {
    /// The line with outcome and masquerade filled in, with its end.
    public func line(_ fate: PacketFate) -> String { "\(text)\t\(fate.outcome)\t\(fate.masquerades)\n" }
}

private struct FlowFault: Error {
    let sentence: String

    init(_ sentence: String) {
        self.sentence = sentence
    }
}
