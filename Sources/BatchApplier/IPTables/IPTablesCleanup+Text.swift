import ProxyCore

// What is said of a cleanup.

extension IPTablesCleanup {
    /// Such as `IPv4, legacy`.
    public var place: String { "\(family.rawValue), \(variant.rawValue)" }

    /// Such as `2 chains, 3 rules and 1 jump`.
    public var counts: String {
        let chains = tables.flatMap(\.chains)
        return chains.count { !$0.isKept }.counted("chain") + ", "
            + tables.reduce(0) { $0 + $1.ruleCount }.counted("rule") + " and "
            + tables.reduce(0) { $0 + $1.jumps.count }.counted("jump")
    }
}

extension Int {
    /// `1 chain`, `2 chains`.
    package func counted(_ noun: String) -> String { "\(self) \(noun)\(self == 1 ? "" : "s")" }
}
