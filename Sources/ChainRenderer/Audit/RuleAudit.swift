import ProxyCore

/// A check of the kernel's tables against what is wanted, in little memory.
///
/// The text of iptables-save comes in pieces. Of each chain only what its rules mean is worked out, as a number
/// (`ChainFingerprint`); the rules of those that differ from the wanted ones are kept and compared at the end, as
/// `RuleComparison` compares whole rule sets and with the same result. The rules of one chain must stand together, as
/// iptables-save prints them.
///
/// It is a value of its own: what is wanted may change while the check runs. It takes a second or so of a core for
/// 100,000 endpoints and belongs on no actor that others wait for.
public struct RuleAudit: Sendable {
    /// The bounds of what is kept of chains that differ.
    struct Limits: Sendable {
        var chains = 500
        var bytes = 8 << 20
        /// Of a line; iptables-save prints none that is nearly as long.
        var line = 1 << 20
    }

    private let limits: Limits
    private let leavesGuardToKubelet: Bool
    private var wanted: WantedChains
    private var found: FoundChains
    /// Chains that are not in the kernel as they are wanted now.
    private let uncommitted: Set<String>
    /// The beginning of a line whose end has not come yet.
    private var carry: [UInt8] = []
    private var line = 0

    init(wanted: WantedChains, uncommitted: Set<String>, leavesGuardToKubelet: Bool, limits: Limits = Limits()) {
        self.wanted = wanted
        self.uncommitted = uncommitted
        self.leavesGuardToKubelet = leavesGuardToKubelet
        self.limits = limits
        found = FoundChains(limits)
    }

    /// Takes the next piece of the text, cut anywhere.
    ///
    /// - Throws: `RuleSetError` where the text is not what iptables-save prints; the check is then over.
    public mutating func append(_ bytes: some Collection<UInt8>) throws(RuleSetError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(1 << 16)
            // What was carried over has no line end.
            let fresh = carry.count
            carry.append(contentsOf: piece)
            rest = rest[piece.endIndex...]
            try readLines(from: fresh)
        }
    }

    private mutating func readLines(from fresh: Int) throws(RuleSetError) {
        prepare()
        // Taken out, so that lines can be slices of it while they are read.
        var text: [UInt8] = []
        swap(&text, &carry)
        var start = 0
        while let end = text.place(of: UInt8(ascii: "\n"), from: max(start, fresh)) {
            try read(text[start..<end])
            start = end + 1
        }
        text.removeSubrange(..<start)
        swap(&text, &carry)
        guard carry.count <= limits.line else {
            throw RuleSetError(line: line + 1, reason: "the line is longer than \(limits.line) bytes")
        }
    }

    private mutating func read(_ text: ArraySlice<UInt8>) throws(RuleSetError) {
        line += 1
        let read = try RuleLine(text, number: line)
        do throws(FoundChains.Refusal) {
            try found.read(read, &wanted)
        } catch {
            throw RuleSetError(line: line, reason: error.reason)
        }
    }

    private mutating func prepare() {
        if !wanted.isIndexed { wanted.makeIndex() }
    }

    /// Says what differs, the text being at its end.
    ///
    /// - Parameter skipped: chains that are left out: those that were written while the tables were read.
    /// - Throws: `RuleSetError` where the text ends too early.
    public consuming func finish(skipping skipped: Set<String> = []) throws(RuleSetError) -> AuditReport {
        prepare()
        if !carry.isEmpty {
            let last = carry
            try read(last[...])
        }
        if let open = found.openTable {
            throw RuleSetError(line: max(line, 1), reason: "the text ends within table \(open), before its COMMIT")
        }
        return report(skipping: skipped.union(uncommitted))
    }

    private func report(skipping skipped: Set<String>) -> AuditReport {
        let tables = [IPTablesBatch.TableName.filter, .nat]
        let skippedKeys = Set(tables.flatMap { table in skipped.map { ChainKey(table, $0) } })
        let skippedPlaces = Set(skippedKeys.compactMap(wanted.place(of:)))
        var compared: Set<Int> = []
        var others = found.notKept.subtracting(skippedKeys).count
        var left = limits.chains
        for (place, chain) in wanted.chains.enumerated() where !skippedPlaces.contains(place) {
            switch chain.found {
            case .equal where !chain.isGuard, .notKept: continue
            case .equal, .different: compared.insert(place)
            case .nothing, .empty:
                if chain.ruleCount == 0 { continue }
                if left > 0 { compared.insert(place) } else { others += 1 }
                left -= 1
            }
        }
        let wantedRules = wanted.ruleSet(of: compared).without(skipped)
        let foundRules = found.ruleSet(wanted, beside: wantedRules).without(skipped)
        var comparison = RuleComparison(
            wanted: wantedRules, found: foundRules, leavesGuardToKubelet: leavesGuardToKubelet)
        comparison.leftOut = leftOut(compared, comparison.found)
        return AuditReport(differences: comparison.differences(), uncomparedChainCount: others)
    }

    private func leftOut(_ compared: Set<Int>, _ kept: RuleSet) -> LeftOutChains {
        var wantedRules: [String: Int] = [:]
        for (place, chain) in wanted.chains.enumerated() where !compared.contains(place) {
            wantedRules[chain.table.rawValue, default: 0] += Int(chain.ruleCount)
        }
        var foundRules = found.ownRules
        for table in kept.tables {
            for chain in table.chains where !chain.isBuiltIn && OwnChain.isOurs(chain.name) {
                foundRules[table.name, default: 0] -= chain.rules.count
            }
        }
        return LeftOutChains(wantedRules: wantedRules, foundRules: foundRules, wanted: wanted, compared: compared)
    }
}

/// What a check of the kernel's tables found.
public struct AuditReport: Hashable, Sendable {
    public var differences: RuleDifferences
    /// Chains that differ too but were not compared rule by rule, as there were too many.
    public var uncomparedChainCount: Int

    public var isEmpty: Bool { differences.isEmpty && uncomparedChainCount == 0 }
}

extension RuleSet {
    fileprivate func without(_ names: Set<String>) -> RuleSet {
        var copy = self
        for index in copy.tables.indices {
            for name in names where copy.tables[index].index(of: name) != nil { copy.tables[index].remove(name) }
        }
        return copy
    }
}

extension [UInt8] {
    fileprivate func place(of byte: UInt8, from start: Int) -> Int? {
        withUnsafeBufferPointer { bytes in
            var index = start
            while index < bytes.count, bytes[index] != byte { index += 1 }
            return index < bytes.count ? index : nil
        }
    }
}
