import NFTBackend

/// A table of nf_tables in memory, which refuses what the kernel refuses.
struct TableModel: Equatable {
    struct Refusal: Error, CustomStringConvertible {
        var description: String

        init(_ reason: String, _ change: NFTChange) { description = "\(reason): \(change)" }
    }

    struct Chain: Equatable {
        var hook: NFTChain.Hook?
        var rules: [NFTRule] = []
    }

    private(set) var tables: Set<String> = []
    private(set) var chains: [String: Chain] = [:]
    private(set) var sets: [String: NFTSet] = [:]
    private(set) var elements: [String: [[NFTValue]: NFTElement]] = [:]
    private(set) var counters: Set<String> = []
    /// How many rules and elements lead to a chain, name a set, and count in a counter.
    private var chainUses: [String: Int] = [:]
    private var setUses: [String: Int] = [:]
    private var counterUses: [String: Int] = [:]

    mutating func commit(_ transaction: NFTTransaction) throws(Refusal) {
        let before = self
        do throws(Refusal) {
            for change in transaction.changes { try carryOut(change, in: transaction.table.name) }
        } catch {
            self = before
            throw error
        }
    }

    private mutating func carryOut(_ change: NFTChange, in table: String) throws(Refusal) {
        func require(_ condition: Bool, _ reason: String) throws(Refusal) {
            if !condition { throw Refusal(reason, change) }
        }
        switch change {
        case .addTable: tables.insert(table)
        case .addOtherTable(let name): tables.insert(name)
        case .deleteTable(let name):
            try require(tables.remove(name) != nil, "no such table")
            if name == table {
                let others = tables
                self = TableModel()
                tables = others
            }
        default:
            try require(tables.contains(table), "no table")
            if try !carryOutOnChains(change, require) { try carryOutOnSets(change, require) }
        }
    }

    private typealias Requirement = (Bool, String) throws(Refusal) -> Void

    /// Returns false for changes of other things than chains.
    private mutating func carryOutOnChains(_ change: NFTChange, _ require: Requirement) throws(Refusal) -> Bool {
        switch change {
        case .addChain(let chain):
            if chains[chain.name] == nil { chains[chain.name] = Chain(hook: chain.hook) }
        case .addRule(let rule, let name):
            try require(chains[name] != nil, "no chain")
            try require(rule.targets.allSatisfy { chains[$0] != nil }, "a rule to a missing chain")
            try require(rule.setNames.allSatisfy { sets[$0] != nil }, "a rule with a missing set")
            chains[name]?.rules.append(rule)
            count(rule, 1)
        case .flushChain(let name):
            try require(chains[name] != nil, "no chain")
            for rule in chains[name]?.rules ?? [] { count(rule, -1) }
            chains[name]?.rules = []
        case .deleteChain(let name):
            try require(chains[name] != nil, "no chain")
            try require(chains[name]?.rules == [] && chainUses[name, default: 0] == 0, "the chain is in use")
            chains[name] = nil
        default: return false
        }
        return true
    }

    private mutating func carryOutOnSets(_ change: NFTChange, _ require: Requirement) throws(Refusal) {
        switch change {
        case .addSet(let set):
            try require(sets[set.name] == nil, "the set is there")
            sets[set.name] = set
        case .deleteSet(let name):
            try require(sets[name] != nil, "no set")
            try require(setUses[name, default: 0] == 0, "the set is in use")
            for element in (elements[name] ?? [:]).values { count(element, -1) }
            elements[name] = nil
            sets[name] = nil
        case .addCounter(let counter):
            try require(counters.insert(counter.name).inserted, "the counter is there")
        case .deleteCounter(let name):
            try require(counters.contains(name), "no counter")
            try require(counterUses[name, default: 0] == 0, "the counter is in use")
            counters.remove(name)
        case .addElement(let element):
            try require(sets[element.set] != nil, "no set")
            try require(elements[element.set]?[element.key] == nil, "the element is there")
            if let chain = element.datum.target { try require(chains[chain] != nil, "an element to a missing chain") }
            if case .counter(let name) = element.datum { try require(counters.contains(name), "no counter") }
            elements[element.set, default: [:]][element.key] = element
            count(element, 1)
        case .deleteElement(let set, let key):
            guard let element = elements[set]?.removeValue(forKey: key) else { throw Refusal("no element", change) }
            count(element, -1)
        case .flushSet(let name):
            for element in (elements[name] ?? [:]).values { count(element, -1) }
            elements[name] = nil
        default: throw Refusal("not known", change)
        }
    }

    private mutating func count(_ rule: NFTRule, _ times: Int) {
        for name in rule.targets { chainUses[name, default: 0] += times }
        for name in rule.setNames { setUses[name, default: 0] += times }
    }

    private mutating func count(_ element: NFTElement, _ times: Int) {
        if let chain = element.datum.target { chainUses[chain, default: 0] += times }
        if case .counter(let name) = element.datum { counterUses[name, default: 0] += times }
    }
}

extension NFTVerdict {
    fileprivate var target: String? {
        switch self {
        case .jump(let chain), .goto(let chain): chain
        case .accept, .drop, .return: nil
        }
    }
}

extension NFTElement.Datum {
    var target: String? { if case .verdict(let verdict) = self { verdict.target } else { nil } }
}

extension NFTRule {
    /// The chains that it leads to by itself.
    var targets: [String] {
        statements.flatMap { statement -> [String] in
            switch statement {
            case .verdict(let verdict): [verdict.target].compactMap(\.self)
            case .verdictOfRandom(let verdicts): verdicts.compactMap(\.target)
            default: []
            }
        }
    }

    /// The sets that it names.
    var setNames: [String] {
        statements.compactMap { statement in
            switch statement {
            case .matchSet(_, let set), .update(let set, _, _, _), .delete(let set, _, _): set
            case .count(_, let map), .verdictMap(_, let map), .translateByMap(_, let map): map
            case .setAddress(_, .map(_, let map)): map
            default: nil
            }
        }
    }
}
