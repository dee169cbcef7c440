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
        for (one, meaning) in meanings.enumerated() {
            for other in index.neighbours(of: meaning) where other > one && places[other] < places[one] {
                guard
                    areJumps
                        ? order.mattersOfJumps(meaning, meanings[other]) : order.matters(meaning, meanings[other])
                else { continue }
                conflicts[one, default: []].insert(other)
                conflicts[other, default: []].insert(one)
            }
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
        var extra = pairing.extra
        var previous = -1
        for (index, place) in pairing.places.enumerated() {
            if let place {
                previous = place
                continue
            }
            let line = wanted[index]
            let end = pairing.places[index...].lazy.compactMap(\.self).first ?? found.count
            // More than a few candidates are no change of one rule any more.
            let candidates = extra.indices.lazy.filter {
                extra[$0] > previous && extra[$0] < end && !pairing.doubles.contains(extra[$0])
            }.prefix(16)
            if let match = candidates.first(where: { line.resembles(found[extra[$0]]) }) {
                changed.append((line, found[extra[match]]))
                previous = extra[match]
                extra.remove(at: match)
            } else {
                missing.append(line)
            }
        }
        foreign = extra.map { (found[$0], pairing.doubles.contains($0)) }
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
    ///
    /// Accounting is left out, and with it the rule of KUBE-NODEPORTS that only counts: it does for packets to
    /// loopback addresses what the next rule does for all.
    var lines: [ChainComparison.Line] {
        var lines: [ChainComparison.Line] = []
        lines.reserveCapacity(rules.count)
        var counting: RuleMeaning?
        for rule in rules {
            var meaning = rule.meaning
            if let counting, counting == meaning { lines.removeLast() }
            counting = nil
            if meaning.accountingObject != nil {
                meaning.matches.removeAll { if case .accounting = $0 { true } else { false } }
                if name == "KUBE-NODEPORTS" {
                    var narrow = meaning
                    narrow.matches.removeAll { $0 == .loopbackDestination }
                    if narrow.matches.count == meaning.matches.count - 1 { counting = narrow }
                }
            }
            lines.append(.init(rule: rule, meaning: meaning))
        }
        return lines
    }
}

extension RuleMatch {
    /// `-d 127.0.0.0/8`
    fileprivate static let loopbackDestination: RuleMatch? = AddressMask(text: "127.0.0.0/8").map {
        .destination($0, .no)
    }
}
