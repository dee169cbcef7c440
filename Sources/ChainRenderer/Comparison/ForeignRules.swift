/// What rules of other programs do to packets in a built-in chain.
struct ForeignRules {
    let table: RuleSet.Table

    /// The rule as one that ends every new connection's way, at least of one protocol; nil for any other.
    ///
    /// A rule with other conditions is about packets that somebody has picked, and is left to its author: the same rules
    /// count as those that an apply moves our jumps before (docs/decisions/0003-where-our-jumps-stand.md). A chain that
    /// it leads to ends the way if one of its rules does for whatever comes there.
    mutating func end(of rule: RuleMeaning) -> RuleMeaning? {
        guard rule.matches.allSatisfy(\.holdsForEveryConnection) else { return nil }
        switch rule.target {
        case nil, .log, .mark, .connectionMark, .notrack, .other: return nil
        case .return:
            // In a built-in chain it leaves the packet to the policy.
            return RuleMeaning(matches: rule.matches, target: .accept)
        case .jump(let chain):
            return end(of: chain, depth: 0).map { RuleMeaning(matches: rule.matches, target: $0) }
        case .goto(let chain):
            // Nobody comes back from there.
            return RuleMeaning(matches: rule.matches, target: end(of: chain, depth: 0) ?? .accept)
        default: return rule
        }
    }

    /// False for a rule in a built-in chain that `end(of:)` has nothing to say of.
    static func mayEnd(_ rule: RuleMeaning) -> Bool {
        rule.matches.allSatisfy(\.holdsForEveryConnection) && !rule.letsEveryPacketGoOn
    }

    /// False for a rule in another program's chain that has no part in how the chain ends.
    static func mayDecide(_ rule: RuleMeaning) -> Bool {
        rule.matches.isEmpty ? !rule.letsEveryPacketGoOn : rule.target == .return
    }

    private func end(of chain: String, depth: Int) -> RuleTarget? {
        guard depth < 16, !OwnChain.isOurs(chain), let chain = table[chain] else { return nil }
        for rule in chain.rules {
            let meaning = rule.meaning
            guard meaning.matches.isEmpty else {
                // Some packets may have left before.
                if meaning.target == .return { return nil }
                continue
            }
            switch meaning.target {
            case nil, .log, .mark, .connectionMark, .notrack, .other: continue
            case .return: return nil
            case .jump(let next), .goto(let next):
                if let end = end(of: next, depth: depth + 1) { return end }
            case let target?: return target
            }
        }
        return nil
    }
}

extension RuleMeaning {
    /// True if the target is none that takes a packet anywhere.
    fileprivate var letsEveryPacketGoOn: Bool {
        switch target {
        case nil, .log, .mark, .connectionMark, .notrack, .other: true
        default: false
        }
    }
}

extension RuleMatch {
    /// True for a protocol, and for connection states that new connections have.
    fileprivate var holdsForEveryConnection: Bool {
        switch self {
        case .transport(_, .no), .accounting: true
        case .connectionState(let states, .no): states.contains(.new)
        default: false
        }
    }
}
