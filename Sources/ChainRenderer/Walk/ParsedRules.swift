import ProxyCore

/// The rules of a set, each chain taken apart when a walk first comes to it.
final class ParsedRules {
    struct ParsedRule {
        let meaning: RuleMeaning
        let rule: Rule
    }

    struct ParsedChain {
        /// ACCEPT or DROP; nil for a chain that is not built in.
        let policy: String?
        let rules: [ParsedRule]
    }

    private let rules: RuleSet
    private var chains: [String: [String: ParsedChain]] = [:]

    init(_ rules: RuleSet) {
        self.rules = rules
    }

    func chain(_ name: String, of table: String) -> ParsedChain? {
        if let parsed = chains[table]?[name] { return parsed }
        guard let chain = rules[table]?[name] else { return nil }
        let parsed = ParsedChain(
            policy: chain.policy, rules: chain.rules.map { ParsedRule(meaning: $0.meaning, rule: $0) })
        chains[table, default: [:]][name] = parsed
        return parsed
    }
}
