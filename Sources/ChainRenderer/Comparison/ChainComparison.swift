/// Two lists of rules of one chain compared by meaning.
struct ChainComparison {
    /// A rule with what it says. Accounting matches are left out: they never differ.
    struct Line {
        let rule: Rule
        let meaning: RuleMeaning
    }

    private(set) var missing: [Line] = []
    /// Rules that are not wanted, each with whether it is a wanted one once more.
    private(set) var foreign: [(line: Line, isDouble: Bool)] = []
    private(set) var changed: [(wanted: Line, found: Line)] = []
    private(set) var moved: [Line] = []

    var isEmpty: Bool { missing.isEmpty && foreign.isEmpty && changed.isEmpty && moved.isEmpty }

    /// - Parameters:
    ///   - order: decides about rules that stand in another order, by the wanted chains.
    ///   - areJumps: whether what the chains behind the rules do to a packet decides about their order.
    init(wanted: [Line], found: [Line], order: inout PacketOrder, areJumps: Bool = false) {
        if wanted.count == found.count,
            wanted.indices.allSatisfy({ wanted[$0].meaning == found[$0].meaning })
        {
            return
        }
        let pairing = Pairing(wanted, found)
        moved = Self.moved(pairing, wanted, &order, areJumps)
        pair(pairing, wanted, found)
    }

    /// Which found rule is which wanted one.
    struct Pairing {
        /// For each wanted rule the place of its equal.
        var places: [Int?] = []
        /// The found rules that are nobody's equal.
        var extra: [Int] = []
        /// Those of `extra` that a wanted rule has already been found for.
        var doubles: Set<Int> = []

        init(_ wanted: [Line], _ found: [Line]) {
            var unused: [RuleMeaning: [Int]] = [:]
            for index in found.indices.reversed() { unused[found[index].meaning, default: []].append(index) }
            places = wanted.map { unused[$0.meaning]?.popLast() }
            let used = Set(places.compactMap(\.self))
            extra = found.indices.filter { !used.contains($0) }
            if !extra.isEmpty {
                let meanings = Set(wanted.map(\.meaning))
                doubles = Set(extra.filter { meanings.contains(found[$0].meaning) })
            }
        }
    }

    // MARK: Order

    /// The fewest rules, as far as a simple choice goes, whose places explain everything that a packet could tell.
    private static func moved(
        _ pairing: Pairing, _ wanted: [Line], _ order: inout PacketOrder, _ areJumps: Bool
    ) -> [Line] {
        let there = pairing.places.indices.filter { pairing.places[$0] != nil }
        let places = there.compactMap { pairing.places[$0] }
        guard zip(places, places.dropFirst()).contains(where: >) else { return [] }
        let meanings = there.map { wanted[$0].meaning }
        let index = RuleIndex(meanings)
        var conflicts: [Int: Set<Int>] = [:]
        var count = 0
        for (one, meaning) in meanings.enumerated() {
            for other in index.neighbours(of: meaning) where other > one && places[other] < places[one] {
                guard
                    areJumps
                        ? order.mattersOfJumps(meaning, meanings[other]) : order.matters(meaning, meanings[other])
                else { continue }
                conflicts[one, default: []].insert(other)
                conflicts[other, default: []].insert(one)
                count += 1
            }
            // So many are no few rules that were moved, and there are as many as the square of the rules.
            if count > 100_000 { break }
        }
        var moved: [Int] = []
        while let worst = conflicts.max(by: { ($0.value.count, $1.key) < ($1.value.count, $0.key) }) {
            moved.append(worst.key)
            conflicts[worst.key] = nil
            for other in worst.value {
                conflicts[other]?.remove(worst.key)
                if conflicts[other]?.isEmpty == true { conflicts[other] = nil }
            }
        }
        return moved.sorted().map { wanted[there[$0]] }
    }

    // MARK: Changes

    /// Takes a missing rule and a foreign one between the same neighbours for one rule that was changed, if they have
    /// something in common.
    private mutating func pair(_ pairing: Pairing, _ wanted: [Line], _ found: [Line]) {
        let extra = pairing.extra
        var isUsed = [Bool](repeating: false, count: extra.count)
        // For each wanted rule the place of the next one that is there.
        var ends = pairing.places.map { _ in found.count }
        for index in ends.indices.dropLast().reversed() { ends[index] = pairing.places[index + 1] ?? ends[index + 1] }
        var previous = -1
        for (index, place) in pairing.places.enumerated() {
            if let place {
                previous = place
                continue
            }
            // More than a few candidates are no change of one rule any more.
            let candidates = extra.partition(after: previous)..<extra.count
            let match = candidates.prefix(16).first { candidate in
                extra[candidate] < ends[index] && !isUsed[candidate] && !pairing.doubles.contains(extra[candidate])
                    && wanted[index].resembles(found[extra[candidate]])
            }
            if let match {
                changed.append((wanted[index], found[extra[match]]))
                previous = extra[match]
                isUsed[match] = true
            } else {
                missing.append(wanted[index])
            }
        }
        foreign = extra.indices.filter { !isUsed[$0] }.map { (found[extra[$0]], pairing.doubles.contains(extra[$0])) }
    }
}

extension [Int] {
    /// The index of the first number above `value`; the numbers ascend.
    fileprivate func partition(after value: Int) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle] <= value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension ChainComparison.Line {
    /// True if the one may be a changed form of the other: the same comment, conditions or target.
    fileprivate func resembles(_ other: Self) -> Bool {
        if let comment = meaning.comment, comment == other.meaning.comment { return true }
        if meaning.target != nil, meaning.target == other.meaning.target { return true }
        return meaning.includes(other.meaning) && other.meaning.includes(meaning)
    }
}

extension RuleSet.Chain {
    /// The rules to be compared.
    var lines: [ChainComparison.Line] {
        var lines: [ChainComparison.Line] = []
        lines.reserveCapacity(rules.count)
        var accounting = AccountingFilter(chain: name)
        for rule in rules {
            var meaning = rule.meaning
            if accounting.pass(&meaning) { lines.removeLast() }
            lines.append(.init(rule: rule, meaning: meaning))
        }
        return lines
    }
}

/// Leaves accounting out of the rules of a chain, and with it the rule of KUBE-NODEPORTS that only counts: it does for
/// packets to loopback addresses what the next rule does for all.
struct AccountingFilter {
    private let mayCount: Bool
    private var counting: RuleMeaning?

    init(chain: String) {
        mayCount = chain == "KUBE-NODEPORTS"
    }

    /// Takes accounting out of the chain's next rule. Returns true if the rule before it only counted.
    mutating func pass(_ meaning: inout RuleMeaning) -> Bool {
        let onlyCounted = counting.map { $0 == meaning } ?? false
        counting = nil
        guard meaning.accountingObject != nil else { return onlyCounted }
        meaning.matches.removeAll { if case .accounting = $0 { true } else { false } }
        if mayCount {
            var narrow = meaning
            narrow.matches.removeAll { $0 == .loopbackDestination }
            if narrow.matches.count == meaning.matches.count - 1 { counting = narrow }
        }
        return onlyCounted
    }
}

extension RuleMatch {
    /// `-d 127.0.0.0/8`
    fileprivate static let loopbackDestination: RuleMatch? = AddressMask(text: "127.0.0.0/8").map {
        .destination($0, .no)
    }
}
