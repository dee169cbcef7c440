public import ProxyCore

extension IPTablesRules {
    /// Begins a check of the kernel's tables against what is wanted and committed now. Nil while it is not known what
    /// the kernel holds: before the first commit and after a failure.
    ///
    /// Chains with changes that have not been committed yet are left out of it. It is cheap; the work is done as the
    /// check is given the text of iptables-save.
    ///
    /// - Parameter leavesGuardToKubelet: as for `RuleComparison`.
    public mutating func audit(leavesGuardToKubelet: Bool) -> RuleAudit? {
        guard !pending.isEverything else { return nil }
        let names = sortedNames()
        let wanted = WantedChains(node: node, options: options, names: names, fragments: fragments(names))
        return RuleAudit(wanted: wanted, uncommitted: uncommittedChains, leavesGuardToKubelet: leavesGuardToKubelet)
    }

    /// The own chains of all services, which are in table nat.
    public var serviceChainNames: Set<String> { Set(fragments.values.lazy.flatMap(\.chainNames)) }

    private var uncommittedChains: Set<String> {
        var chains = pending.staleChains
        for fragment in fragments(Array(pending.services)) { chains.formUnion(fragment.chainNames) }
        if pending.top { chains.formUnion(["KUBE-SERVICES", "KUBE-NODEPORTS"]) }
        if pending.filter { chains.formUnion(IPTablesChainNames.shared) }
        return chains
    }
}

extension IPTablesBatch {
    /// The chains that a commit of the batch writes or removes: what a check that was under way leaves out.
    public var chainNames: Set<String> {
        var names: Set<String> = []
        for table in tables {
            for line in table.text.split(separator: UInt8(ascii: "\n")) {
                let start = line.first == UInt8(ascii: ":") ? 1 : line.starts(with: "-X ".utf8) ? 3 : 0
                guard start > 0 else { continue }
                names.insert(String(decoding: line.dropFirst(start).prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self))
            }
        }
        return names
    }
}
