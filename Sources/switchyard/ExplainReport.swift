import ChainRenderer
import Foundation
import ProxyCore

/// A walk as people read it.
struct ExplainReport {
    let packet: Packet
    let result: RuleWalkResult
    let local: LocalAddresses

    init(_ packet: Packet, _ result: RuleWalkResult, local: LocalAddresses) {
        self.packet = packet
        self.result = result
        self.local = local
    }

    /// What the packet is, each rule that took it, and how it ends.
    func text() -> String {
        var text = "\(headline)\n\n\(steps())"
        if !result.steps.isEmpty { text += "\n" }
        for sentence in sentences { text += sentence + "\n" }
        for note in result.notes { text += "Note: \(note).\n" }
        return text
    }

    private var headline: String {
        let way = local.contains(packet.source) ? "sent by the node itself" : "which comes in to the node"
        return "A first \(packet.protocol.lowercaseName) packet from \(packet.source) to \(destination), \(way):"
    }

    var destination: String { PacketFate.End.endpoint(packet.destination, port: packet.port).description }

    // MARK: Steps

    /// The rules that took the packet, hook by hook, each chain indented below the rule that led to it.
    private func steps() -> String {
        let counts = result.steps.map { step in step.packets.map(String.init) ?? "" }
        let hasCounters = result.steps.contains { $0.packets != nil }
        let width = hasCounters ? max(counts.map(\.count).max() ?? 0, "packets".count) : 0
        func columns(_ share: String, _ count: String) -> String {
            share.padded(to: 8) + (hasCounters ? "  " + count.padded(to: width) : "") + "  "
        }
        var text = columns("share", "packets") + "rule\n"
        var hook = ("", "")
        var path: [String] = []
        var service: String?
        for (step, count) in zip(result.steps, counts) {
            let indent = String(repeating: "  ", count: step.depth)
            if hook != (step.hook, step.table) {
                hook = (step.hook, step.table)
                path = [step.chain]
                text += "\(step.hook), table \(step.table)\n"
            } else if path.count <= step.depth || path[step.depth] != step.chain {
                path = path.prefix(step.depth) + [step.chain]
                let owner = service.map { " (\($0))" } ?? ""
                text += columns("", "") + "\(indent.dropLast(2))\(step.chain)\(owner)\n"
            }
            path = Array(path.prefix(step.depth + 1))
            service = step.service
            let entry = step.entry.map { " (entry \($0))" } ?? ""
            let rule = step.rule ?? "policy \(step.chain) DROP"
            text += columns(Self.percent(step.share), count) + "\(indent)\(rule)\(entry)\n"
        }
        return result.steps.isEmpty ? "" : text
    }

    static func percent(_ share: Double) -> String {
        let tenths = (share * 1000).rounded()
        let text = tenths.truncatingRemainder(dividingBy: 10) == 0 ? "\(Int(tenths / 10))" : "\(tenths / 10)"
        return "\(text) %"
    }
}

extension String {
    /// With blanks before it.
    fileprivate func padded(to width: Int) -> String {
        String(repeating: " ", count: max(0, width - count)) + self
    }
}

// MARK: - The end

extension ExplainReport {
    /// How it ends: a sentence for each way.
    var sentences: [String] {
        var sentences: [String] = []
        let endings = result.endings
        let sent = endings.filter { $0.branch.end.isEndpoint }
        if !sent.isEmpty { sentences.append(sentence(ofSent: sent)) }
        var said: Set<RuleWalkResult.Ending> = []
        for ending in endings where !ending.branch.end.isEndpoint && said.insert(ending.key).inserted {
            let share = endings.filter { $0.key == ending.key }.reduce(0) { $0 + $1.branch.share }
            let subject = share > 0.9999 ? "It" : "With a chance of \(Self.percent(share)) it"
            sentences.append(sentence(of: ending, subject))
        }
        return sentences
    }

    private func sentence(ofSent endings: [RuleWalkResult.Ending]) -> String {
        var order: [PacketFate.End] = []
        var shares: [PacketFate.End: Double] = [:]
        for ending in endings {
            if shares[ending.branch.end] == nil { order.append(ending.branch.end) }
            shares[ending.branch.end, default: 0] += ending.branch.share
        }
        let isForeign = endings.contains { $0.step?.isOurs == false }
        let services = Set(endings.compactMap { $0.step?.service }).sorted()
        let owner = services.isEmpty ? "" : " of \(services.joined(separator: " and "))"
        let receiver: String
        if let only = order.first, order.count == 1, let share = shares[only] {
            let chance = share > 0.9999 ? "" : " with a chance of \(Self.percent(share))"
            receiver = owner.isEmpty ? "to \(only)\(chance)" : "to \(only)\(chance), the endpoint\(owner)"
        } else {
            var list = order.prefix(20).map { "\($0) (\(Self.percent(shares[$0] ?? 0)))" }.joined(separator: ", ")
            if order.count > 20 { list += ", and \(order.count - 20) more" }
            receiver = "to one of \(order.count) endpoints\(owner): \(list)"
        }
        let why = isForeign ? " A rule that is not of the services sends it there: \(blame(endings))." : ""
        return "It goes \(receiver). \(seen(endings))\(why)"
    }

    /// Under which address the receivers see the packet.
    private func seen(_ endings: [RuleWalkResult.Ending]) -> String {
        let sources = Set(endings.map(\.branch.source))
        if sources.count == 1, let source = sources.first {
            return endings.count == 1
                ? "It sees the source \(describe(source))." : "Each sees the source \(describe(source))."
        }
        // It is an endpoint that reaches itself, as a rule: it is masqueraded and the others are not.
        let groups = Dictionary(grouping: endings, by: \.branch.source).values.sorted {
            ($0.count, $0[0].branch.end.description) < ($1.count, $1[0].branch.end.description)
        }
        let parts = groups.enumerated().map { index, group in
            let isLast = index == groups.count - 1 && group.count > 1
            let receivers = group.map(\.branch.end.description).joined(separator: " and ")
            return "\(isLast ? "each other" : receivers) sees \(describe(group[0].branch.source))"
        }
        return "As source, \(parts.joined(separator: ", and "))."
    }

    private func describe(_ source: PacketFate.Source) -> String {
        switch source {
        case .unchanged: return "\(packet.source)"
        case .translated(let address): return "\(address)"
        case .masqueraded:
            let addresses = local.reachable(packet.family)
            if let only = addresses.first, addresses.count == 1 { return "\(only), which is the node's (masqueraded)" }
            return "that the node has on the interface by which the packet leaves (masqueraded)"
        }
    }

    private func sentence(of ending: RuleWalkResult.Ending, _ subject: String) -> String {
        let service = ending.step?.service.map { " for \($0)" } ?? ""
        let rule = ending.step.map { " by \(Self.whose($0))\(service): \(Self.place($0))" } ?? ""
        switch ending.branch.end {
        case .reject: return "\(subject) is refused with an answer,\(rule)."
        case .drop: return "\(subject) is dropped without an answer,\(rule)."
        case .accept: return "\(subject) goes to \(destination) as it was sent, accepted\(rule).\(rewritten(ending))"
        case .untouched, .endpoint:
            return "\(subject) goes to \(destination) as it was sent: no rule takes it.\(rewritten(ending))"
        }
    }

    private func rewritten(_ ending: RuleWalkResult.Ending) -> String {
        ending.branch.source == .unchanged ? "" : " Its source becomes \(describe(ending.branch.source))."
    }

    private func blame(_ endings: [RuleWalkResult.Ending]) -> String {
        var places: [String] = []
        for step in endings.compactMap(\.step) where !step.isOurs && !places.contains(Self.place(step)) {
            places.append(Self.place(step))
        }
        return places.joined(separator: "; ")
    }

    private static func whose(_ step: RuleWalkResult.Step) -> String {
        if step.rule == nil { return "the policy of a built-in chain" }
        if step.isOfServers { return "a virtual server without a usable real server" }
        return step.isOurs ? "a service rule" : "a rule that is not of the services"
    }

    private static func place(_ step: RuleWalkResult.Step) -> String {
        "\(step.table) \(step.chain)" + (step.isOfServers ? "" : step.rule.map { " \($0)" } ?? "")
    }
}

extension RuleWalkResult.Step {
    /// True for what virtual servers do, and not rules.
    var isOfServers: Bool { table == "ipvs" }
}

extension PacketFate.End {
    fileprivate var isEndpoint: Bool { if case .endpoint = self { true } else { false } }
}

extension RuleWalkResult.Ending {
    /// The same for endings that one sentence tells of.
    fileprivate var key: Self { .init(branch: .init(branch.end, share: 0, source: branch.source), step: step) }
}
