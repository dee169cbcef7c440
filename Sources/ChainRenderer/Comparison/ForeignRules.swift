/// What rules of other programs do to packets in a built-in chain.
struct ForeignRules {
    let table: RuleSet.Table

    /// The rule as one that ends a packet's way; nil if it lets every packet go on.
    ///
    /// A chain that it leads to ends the way if one of its rules does for whatever comes there. Chains that end it for
    /// some packets are passed over: network plugins put theirs first, and decide there about their own.
    mutating func end(of rule: RuleMeaning) -> RuleMeaning? {
        switch rule.target {
        case nil, .log, .mark, .connectionMark, .notrack, .other: return nil
        case .return:
            // In a built-in chain it leaves the packet to the policy.
            return RuleMeaning(matches: rule.matches, target: .accept)
        case .jump(let chain), .goto(let chain):
            guard let end = end(of: chain, depth: 0) else { return nil }
            return RuleMeaning(matches: rule.matches, target: end)
        default: return rule
        }
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
