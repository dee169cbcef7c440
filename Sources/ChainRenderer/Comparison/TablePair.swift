import ProxyCore

/// One table, wanted and found.
struct TablePair {
    let wanted: RuleSet.Table
    let found: RuleSet.Table
    private let leftOut: LeftOutChains?
    private let leavesGuard: Bool
    private let leavesPlaceOfGuard: Bool

    init(wanted: RuleSet.Table, found: RuleSet.Table, leavesGuardToKubelet: Bool, leftOut: LeftOutChains?) {
        self.wanted = wanted
        self.found = found
        self.leftOut = leftOut
        leavesPlaceOfGuard = leavesGuardToKubelet
        leavesGuard = leavesGuardToKubelet && (wanted[IPTablesChainNames.loopbackGuard]?.rules.isEmpty ?? true)
    }

    /// The number of rules of ours, jumps included.
    var wantedCount: Int { count(wanted) + (leftOut?.wantedRules[wanted.name] ?? 0) }
    var foundCount: Int { count(found) + (leftOut?.foundRules[found.name] ?? 0) }

    private func count(_ table: RuleSet.Table) -> Int {
        table.chains.reduce(0) { sum, chain in
            if chain.isBuiltIn { return sum + jumps(of: chain).count }
            return isCompared(chain.name) ? sum + chain.rules.count : sum
        }
    }

    private func isCompared(_ chain: String) -> Bool {
        // Those of ipvs mode are compared where it is the wanted one, which has all of them always.
        if IPTablesChainNames.onlyIPVS.contains(chain) { return wanted[chain] != nil }
        return OwnChain.isOurs(chain) && !(leavesGuard && chain == IPTablesChainNames.loopbackGuard)
    }

    /// The rules of a built-in chain that lead to chains of ours, with their places.
    private func jumps(of chain: RuleSet.Chain?) -> [(place: Int, line: ChainComparison.Line)] {
        guard let chain else { return [] }
        return chain.rules.enumerated().compactMap { place, rule in
            // Most foreign rules of a large chain need not be taken apart.
            guard rule.mayLeadToOurs else { return nil }
            let meaning = rule.meaning
            guard let target = meaning.target?.chain, isCompared(target) else { return nil }
            return (place, .init(rule: rule, meaning: meaning))
        }
    }

    func findings() -> [Finding] {
        // Where the jumps to it stand depends on which program came first, and nobody moves them.
        var order = PacketOrder(freeChain: leavesPlaceOfGuard ? IPTablesChainNames.loopbackGuard : nil) { name in
            wanted[name] ?? leftOut?.wanted.chain(name, in: wanted.name)
        }
        var findings: [Finding] = []
        for chain in wanted.chains where chain.isBuiltIn { findings += jumpFindings(chain.name, &order) }
        for chain in found.chains where chain.isBuiltIn && wanted[chain.name] == nil {
            findings += jumpFindings(chain.name, &order)
        }
        for chain in wanted.chains where !chain.isBuiltIn && isCompared(chain.name) {
            findings += self.findings(of: chain, found[chain.name], &order)
        }
        for chain in found.chains where !chain.isBuiltIn && isCompared(chain.name) && wanted[chain.name] == nil {
            // One without rules does nothing; it stays where another program's rule leads to it.
            guard !chain.rules.isEmpty else { continue }
            findings.append(
                Finding(
                    kind: .foreign, table: found.name, chain: chain.name,
                    detail: chain.rules.count > 3
                        ? "the chain is not wanted; it has \(chain.rules.count) rules" : "the chain is not wanted",
                    found: chain.rules.prefix(3).map { $0.line(in: chain.name) }))
        }
        return findings
    }

    // MARK: Chains of ours

    private func findings(
        of chain: RuleSet.Chain, _ found: RuleSet.Chain?, _ order: inout PacketOrder
    ) -> [Finding] {
        let lines = chain.lines
        guard !lines.isEmpty || found?.rules.isEmpty == false else { return [] }
        let foundLines = found?.lines ?? []
        guard !foundLines.isEmpty else {
            let loss = found == nil ? "the chain is not there" : "the chain is empty"
            return [
                Finding(
                    kind: .missing, table: wanted.name, chain: chain.name,
                    detail: lines.count == 1 ? loss : "\(loss); it has \(lines.count) rules",
                    wanted: lines.prefix(3).map { $0.rule.line(in: chain.name) })
            ]
        }
        return findings(ChainComparison(wanted: lines, found: foundLines, order: &order), chain.name)
    }

    private func findings(_ comparison: ChainComparison, _ chain: String) -> [Finding] {
        func finding(
            _ kind: Finding.Kind, _ wanted: [ChainComparison.Line], _ found: [ChainComparison.Line],
            _ detail: String? = nil
        ) -> Finding {
            Finding(
                kind: kind, table: self.wanted.name, chain: chain, detail: detail,
                wanted: wanted.map { $0.rule.line(in: chain) }, found: found.map { $0.rule.line(in: chain) })
        }
        let moved =
            comparison.moved.count > 8
            ? [finding(.moved, Array(comparison.moved.prefix(3)), [], "the order of many rules is another")]
            : comparison.moved.map { finding(.moved, [$0], [], "another place decides otherwise about some packets") }
        return comparison.missing.map { finding(.missing, [$0], []) }
            + comparison.changed.map { finding(.changed, [$0.wanted], [$0.found]) }
            + moved
            + comparison.foreign.map { finding(.foreign, [], [$0.line], $0.isDouble ? "a second time" : nil) }
    }

    // MARK: Jumps

    private func jumpFindings(_ chain: String, _ order: inout PacketOrder) -> [Finding] {
        let wantedJumps = jumps(of: wanted[chain]).map(\.line)
        let foundJumps = jumps(of: found[chain])
        let comparison = ChainComparison(
            wanted: wantedJumps, found: foundJumps.map(\.line), order: &order, areJumps: true)
        var findings = self.findings(comparison, chain)
        guard let foundChain = found[chain] else { return findings }
        // Foreign rules stand where they stand if the wanted side has them at the same place.
        let known = foreignRules(before: wantedJumps, in: wanted[chain])
        // Of a jump that is there twice the first counts.
        var unseen = Set(wantedJumps.map(\.meaning))
        let first = foundJumps.filter { unseen.remove($0.line.meaning) != nil }
        for blocker in blockers(in: foundChain, first, known, &order) {
            let jumps = blocker.jumps.map { $0.rule.line(in: chain) }
            findings.append(
                Finding(
                    kind: .moved, table: wanted.name, chain: chain,
                    detail: "behind a rule of another program that decides about packets before", wanted: jumps,
                    found: [foundChain.rules[blocker.place].line(in: chain)]))
        }
        return findings
    }

    private func foreignRules(before jumps: [ChainComparison.Line], in chain: RuleSet.Chain?) -> Set<RuleMeaning> {
        guard let chain, let last = self.jumps(of: chain).last?.place else { return [] }
        let ours = Set(self.jumps(of: chain).map(\.place))
        return Set(chain.rules[..<last].enumerated().filter { !ours.contains($0.offset) }.map(\.element.meaning))
    }

    private struct Blocker {
        var place: Int
        var jumps: [ChainComparison.Line]
    }

    /// The foreign rules before jumps that could end a packet's way which a jump would have decided about otherwise.
    /// Each jump counts for the first such rule.
    private func blockers(
        in chain: RuleSet.Chain, _ jumps: [(place: Int, line: ChainComparison.Line)], _ known: Set<RuleMeaning>,
        _ order: inout PacketOrder
    ) -> [Blocker] {
        guard let last = jumps.last?.place else { return [] }
        let ours = Set(self.jumps(of: chain).map(\.place))
        var left = jumps
        var blockers: [Blocker] = []
        var foreign = ForeignRules(table: found)
        for place in 0..<last where !ours.contains(place) {
            let meaning = chain.rules[place].meaning
            guard let end = foreign.end(of: meaning), !known.contains(meaning) else { continue }
            let blocked = left.filter { $0.place > place && order.matters($0.line.meaning, behind: end) }
            guard !blocked.isEmpty else { continue }
            blockers.append(Blocker(place: place, jumps: blocked.map(\.line)))
            left.removeAll { jump in blocked.contains { $0.place == jump.place } }
        }
        return blockers
    }
}

extension Rule {
    /// The rule as iptables takes it.
    func line(in chain: String) -> String { text.isEmpty ? "-A \(chain)" : "-A \(chain) \(description)" }

    /// False for most rules of other programs, which then need not be taken apart.
    var mayLeadToOurs: Bool { text.contains("KUBE-") }
}

extension ArraySlice<UInt8> {
    /// True if the word occurs anywhere.
    fileprivate func contains(_ word: StaticString) -> Bool {
        withUnsafeBufferPointer { bytes in
            word.withUTF8Buffer { word in
                guard bytes.count >= word.count else { return false }
                return (0...(bytes.count - word.count)).contains { start in
                    bytes[start] == word[0] && bytes[start..<(start + word.count)].elementsEqual(word)
                }
            }
        }
    }
}
