import ProxyCore

/// Whether a packet could tell in which order two rules of a chain stand.
///
/// It errs on the side of yes: what is not understood may match any packet.
struct PacketOrder {
    /// The chain of a name, of the wanted ones.
    private let chain: (String) -> RuleSet.Chain?
    private var actingChains: [String: Bool] = [:]

    /// A chain that jumps may lead to at any place among the others.
    private let freeChain: String?

    init(freeChain: String? = nil, chain: @escaping (String) -> RuleSet.Chain?) {
        self.chain = chain
        self.freeChain = freeChain
    }

    /// True if some packet can match both rules and fares differently by their order.
    mutating func matters(_ one: RuleMeaning, _ other: RuleMeaning) -> Bool {
        guard acts(one), acts(other) else { return false }
        let changesMark = one.mayChangeMark || other.mayChangeMark
        if one.target == other.target, !one.hasSideEffect, !other.hasSideEffect {
            // The first one's new mark can decide whether the other matches.
            guard changesMark, one.readsMark || other.readsMark else { return false }
        }
        return !one.excludes(other, marksHold: !changesMark)
    }

    /// True if the rule does something to a packet that matches it.
    mutating func acts(_ rule: RuleMeaning) -> Bool {
        if rule.hasSideEffect { return true }
        switch rule.target {
        case nil, .log: return false
        case .jump(let chain): return acts(chain)
        default: return true
        }
    }

    /// True if a chain holds a rule that could do something to a packet. A return at its own end does nothing.
    mutating func acts(_ chain: String) -> Bool {
        if let known = actingChains[chain] { return known }
        // A loop, which the kernel refuses, ends here.
        actingChains[chain] = false
        var result = false
        if let chain = self.chain(chain) {
            for rule in chain.rules {
                let meaning = rule.meaning
                if meaning.target != .return || meaning.hasSideEffect, acts(meaning) {
                    result = true
                    break
                }
            }
        }
        actingChains[chain] = result
        return result
    }

    /// The same for two jumps, by what the rules of their chains do.
    mutating func mattersOfJumps(_ one: RuleMeaning, _ other: RuleMeaning) -> Bool {
        if let freeChain, one.target?.chain == freeChain || other.target?.chain == freeChain { return false }
        guard acts(one), acts(other), !one.excludes(other, marksHold: false) else { return false }
        let oneEffects = effects(of: one)
        let otherEffects = effects(of: other)
        return matters(oneEffects, otherEffects)
    }

    /// True if a packet could tell whether a foreign rule stands before or behind a jump.
    ///
    /// What only marks a packet, or asks for it to be marked, is of use to nobody once the packet's way has ended.
    mutating func matters(_ jump: RuleMeaning, behind end: RuleMeaning) -> Bool {
        let effects = effects(of: jump).filter { effect in
            switch effect.target {
            case .mark, .connectionMark: false
            case .masquerade: if case .masquerade = end.target { false } else { true }
            default: true
            }
        }
        return matters(effects, [end])
    }

    private mutating func matters(_ some: [RuleMeaning], _ others: [RuleMeaning]) -> Bool {
        let (few, many) = some.count < others.count ? (some, others) : (others, some)
        let index = RuleIndex(many)
        for rule in few {
            for place in index.neighbours(of: rule) where matters(rule, many[place]) { return true }
        }
        return false
    }

    /// What a jump may do to packets: a rule for each acting rule of the chain, with the jump's conditions added.
    private mutating func effects(of jump: RuleMeaning) -> [RuleMeaning] {
        guard let name = jump.target?.chain, let chain = chain(name) else { return [] }
        var conditions = jump.matches
        var effects: [RuleMeaning] = []
        for rule in chain.rules {
            let meaning = rule.meaning
            if meaning.target == .return {
                // What is left over does not meet the condition of the return.
                if meaning.matches.count == 1, let rest = meaning.matches[0].inverse { conditions.append(rest) }
            } else if acts(meaning) {
                effects.append(RuleMeaning(matches: conditions + meaning.matches, target: meaning.target))
            }
        }
        return effects
    }
}

extension RuleMeaning {
    /// True if the rule leaves something behind that later packets meet.
    var hasSideEffect: Bool {
        matches.contains { match in
            if case .recent(let recent) = match { return recent.action != .rcheck }
            return false
        }
    }

    /// A chain jumped to may change the mark.
    var mayChangeMark: Bool {
        switch target {
        case .mark, .jump, .goto, .other: true
        default: false
        }
    }

    var readsMark: Bool {
        matches.contains { match in
            switch match {
            case .mark, .other: true
            default: false
            }
        }
    }

    /// True if no packet matches both rules.
    func excludes(_ other: RuleMeaning, marksHold: Bool) -> Bool {
        matches.contains { one in
            if case .mark = one, !marksHold { return false }
            return other.matches.contains { one.excludes($0) }
        }
    }

    /// True if each packet that meets the conditions of `other` matches this rule, as far as can be told.
    func includes(_ other: RuleMeaning) -> Bool {
        matches.allSatisfy { other.matches.contains($0) }
    }
}

extension RuleMatch {
    /// True if no packet meets both conditions.
    func excludes(_ other: RuleMatch) -> Bool {
        if let inverse, inverse == other { return true }
        switch (self, other) {
        case (.source(let one, let left), .source(let two, let right)),
            (.destination(let one, let left), .destination(let two, let right)):
            return Self.exclude(
                left, right, overlap: one.overlaps(two), covers: one.covers(two), covered: two.covers(one))
        case (.transport(let one, let left), .transport(let two, let right)):
            return Self.exclude(left, right, overlap: one == two, covers: one == two, covered: one == two)
        case (.destinationPorts(let one, let left), .destinationPorts(let two, let right)),
            (.sourcePorts(let one, let left), .sourcePorts(let two, let right)):
            return Self.exclude(left, right, overlap: one.overlaps(two), covers: one == two, covered: one == two)
        case (.connectionState(let one, let left), .connectionState(let two, let right)):
            // SNAT and DNAT may go with any state.
            let translations: ConnectionStates = [.snat, .dnat]
            let canMeet = !one.isDisjoint(with: two) || !one.union(two).isDisjoint(with: translations)
            return Self.exclude(
                left, right, overlap: canMeet, covers: one.isSuperset(of: two), covered: two.isSuperset(of: one))
        case (.inputInterface(let one, let left), .inputInterface(let two, let right)),
            (.outputInterface(let one, let left), .outputInterface(let two, let right)):
            let covers = one.isPrefix ? two.name.hasPrefix(one.name) : one == two
            let covered = two.isPrefix ? one.name.hasPrefix(two.name) : one == two
            return Self.exclude(left, right, overlap: covers || covered, covers: covers, covered: covered)
        case (.mark(let one, .no), .mark(let two, .no)):
            let common = one.mask & two.mask
            return one.value & common != two.value & common
        default: return false
        }
    }

    /// - Parameters:
    ///   - overlap: whether something is in both sets.
    ///   - covers: whether the left set has all of the right one.
    ///   - covered: whether the right set has all of the left one.
    private static func exclude(
        _ left: Inverted, _ right: Inverted, overlap: Bool, covers: Bool, covered: Bool
    ) -> Bool {
        switch (left, right) {
        case (.no, .no): !overlap
        case (.yes, .no): covers
        case (.no, .yes): covered
        case (.yes, .yes): false
        }
    }

    /// The condition that holds exactly where this one does not; nil where there is none.
    var inverse: RuleMatch? {
        switch self {
        case .source(let range, let inverted): .source(range, inverted.toggled)
        case .destination(let range, let inverted): .destination(range, inverted.toggled)
        case .inputInterface(let pattern, let inverted): .inputInterface(pattern, inverted.toggled)
        case .outputInterface(let pattern, let inverted): .outputInterface(pattern, inverted.toggled)
        case .transport(let number, let inverted): .transport(number, inverted.toggled)
        case .connectionState(let states, let inverted): .connectionState(states, inverted.toggled)
        case .mark(let mark, let inverted): .mark(mark, inverted.toggled)
        default: nil
        }
    }
}

extension RuleMatch.Inverted {
    fileprivate var toggled: Self { self == .no ? .yes : .no }
}
