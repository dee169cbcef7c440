/// A rule as it is written, apart from its chain and counters.
package struct Rule: Sendable {
    /// Nil in a text without counters.
    package var counters: RuleSet.Counters?
    /// What follows `-A CHAIN`, without the line end.
    package let text: ArraySlice<UInt8>

    package init(counters: RuleSet.Counters? = nil, text: ArraySlice<UInt8>) {
        self.counters = counters
        self.text = text
    }

    /// What the rule says, taken apart anew at each call.
    package var meaning: RuleMeaning { RuleMeaning(text) }

    /// The text without its quotes being touched, for people.
    package var description: String { String(decoding: text, as: UTF8.self) }
}

/// What a rule says: all its matches must hold, then its target is carried out.
///
/// Spellings that mean the same to the kernel are equal: the order of the options, `10.0.0.1` and `10.0.0.1/32`,
/// `-m tcp` beside `-p tcp`, defaults written or not. Comments and counters do not count.
package struct RuleMeaning: Sendable {
    package var matches: [RuleMatch]
    /// Nil where the rule has no `-j` and no `-g`: it only counts.
    package var target: RuleTarget?
    package var comment: String?

    package init(matches: [RuleMatch], target: RuleTarget?, comment: String? = nil) {
        self.matches = matches
        self.target = target
        self.comment = comment
    }

    /// True if each match and the target is of a kind whose effect on a packet is known here.
    package var isUnderstood: Bool {
        if case .other = target { return false }
        return matches.allSatisfy(\.isUnderstood)
    }

    /// The accounting object that the rule counts in.
    package var accountingObject: String? {
        for case .accounting(let name) in matches { return name }
        return nil
    }
}

extension RuleMeaning: Hashable {
    /// Matches are compared in any order.
    package static func == (left: Self, right: Self) -> Bool {
        guard left.target == right.target, left.matches.count == right.matches.count else { return false }
        if left.matches == right.matches { return true }
        var rest = right.matches
        for match in left.matches {
            guard let index = rest.firstIndex(of: match) else { return false }
            rest.swapAt(index, rest.count - 1)
            rest.removeLast()
        }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(target)
        // A sum does not depend on the order.
        hasher.combine(matches.reduce(0) { $0 &+ $1.hashValue })
    }
}
