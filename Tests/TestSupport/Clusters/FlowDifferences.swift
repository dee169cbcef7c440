package import ProxyCore

/// The rows that end elsewhere than they should, as text: the first few are enough.
package func differences(_ rows: [FlowTable.Row], from walk: (Packet) -> PacketFate) -> String {
    var found = ""
    var count = 0
    for row in rows {
        let fate = walk(row.packet)
        guard fate.outcome != row.outcome || "\(fate.masquerades)" != row.masquerade else { continue }
        count += 1
        if count <= 5 {
            found += "\(row.line(fate))  expected \(row.outcome ?? "nothing") \(row.masquerade ?? "nothing")\n"
        }
    }
    return count == 0 ? "" : "\(count) of \(rows.count):\n\(found)"
}

/// The packets that two walks end differently, in either order, with both ends.
package func disagreements(
    on packets: [Packet], _ plans: (Packet, WalkOrder) -> PacketFate, _ rules: (Packet, WalkOrder) -> PacketFate
) -> [String] {
    var found: [String] = []
    for packet in packets {
        for order in [WalkOrder.host, .tracer] {
            let expected = plans(packet, order)
            let actual = rules(packet, order)
            guard !actual.isClose(to: expected) else { continue }
            let text = "\(order): \(packet): plans \(expected.branches), rules \(actual.branches)\n"
            found.append(String(text.prefix(400)))
        }
    }
    return found
}

extension PacketFate {
    /// Equal but for what ten decimals of a probability cannot say.
    fileprivate func isClose(to other: PacketFate) -> Bool {
        branches.count == other.branches.count
            && zip(branches, other.branches).allSatisfy { left, right in
                left.end == right.end && left.source == right.source && abs(left.share - right.share) < 1e-6
            }
    }
}
