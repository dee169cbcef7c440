import ProxyCore

/// The chains of a save as they come by: each is judged at its end, and of most nothing is kept.
struct FoundChains: Sendable {
    /// A line that iptables-save does not print there.
    struct Refusal: Error {
        let reason: String

        init(_ reason: String) { self.reason = reason }
    }

    /// The name of the table whose COMMIT has not come yet.
    private(set) var openTable: String?
    /// The number of rules in chains of ours, by table; those of KUBE-FIREWALL are not in it unless they were kept.
    private(set) var ownRules: [String: Int] = [:]
    /// Chains that differ, and that there was no room for.
    private(set) var notKept: Set<ChainKey> = []

    private let limits: RuleAudit.Limits
    private var tables: [RuleSet.Table] = []
    private var seenTables: Set<String> = []
    /// Nil in tables that hold nothing of ours.
    private var table: IPTablesBatch.TableName?
    private var current: OpenChain?
    /// The chains of this table whose rules have come by, apart from wanted ones.
    private var closed: Set<ChainKey> = []
    /// Room that chains of which nothing was kept have left.
    private var spare: (text: [UInt8], ends: [Int]) = ([], [])
    private var chainsLeft: Int
    private var bytesLeft: Int
    /// Rules of other programs' chains that may decide about packets before ours; of more than these none is kept.
    private var foreignLeft = 20_000

    init(_ limits: RuleAudit.Limits) {
        self.limits = limits
        chainsLeft = limits.chains
        bytesLeft = limits.bytes
    }

    /// The chain whose rules are coming by.
    private struct OpenChain: Sendable {
        enum Kind: Sendable {
            case builtIn
            /// With its place among the wanted ones, if it is.
            case own(wanted: Int?)
            /// Of another program; nothing more of it counts once a rule ends every packet's way.
            case foreign(isDecided: Bool)
        }

        var name: [UInt8]
        var kind: Kind
        var fingerprint = ChainFingerprint()
        var accounting: AccountingFilter
        var ruleCount = 0
        var text: [UInt8] = []
        var ends: [Int] = []
        /// Too long to be kept.
        var isTooLong = false

        var rules: [Rule] {
            var start = 0
            return ends.map { end in
                defer { start = end }
                return Rule(text: text[start..<end])
            }
        }
    }

    // MARK: Lines

    mutating func read(_ line: RuleLine, _ wanted: inout WantedChains) throws(Refusal) {
        switch line {
        case .nothing: break
        case .table(let name): try begin(name)
        case .commit:
            guard openTable != nil else { throw Refusal("COMMIT without a table before it") }
            close(&wanted)
            openTable = nil
            table = nil
        case .declaration(let declaration):
            guard openTable != nil else { throw Refusal("a chain without a table before it") }
            declare(declaration, &wanted)
        case .command(let command):
            guard openTable != nil else { throw Refusal("a rule without a table before it") }
            guard command.isAppend else {
                throw Refusal("the command \(command.name.string) is none that iptables-save prints")
            }
            try append(command, &wanted)
        }
    }

    private mutating func begin(_ name: String) throws(Refusal) {
        if let openTable { throw Refusal("table \(name) begins before the COMMIT of table \(openTable)") }
        guard seenTables.insert(name).inserted else { throw Refusal("table \(name) is there a second time") }
        openTable = name
        table = IPTablesBatch.TableName(rawValue: name).flatMap { $0 == .mangle ? nil : $0 }
        closed = []
        if table != nil { tables.append(RuleSet.Table(name: name)) }
    }

    private mutating func declare(_ declaration: RuleLine.Declaration, _ wanted: inout WantedChains) {
        guard let table else { return }
        let name = declaration.chain.string
        if declaration.policy != nil || RuleSet.Chain.builtInNames.contains(name) {
            modify(name) { $0.policy = declaration.policy }
        } else if let place = wanted.place(of: declaration.chain, in: table) {
            if wanted.chains[place].found == .nothing { wanted.note(.empty, at: place) }
        }
    }

    private mutating func modify(_ chain: String, _ body: (inout RuleSet.Chain) -> Void) {
        guard !tables.isEmpty else { return }
        let place = tables[tables.count - 1].place(of: chain)
        tables[tables.count - 1].modify(place, body)
    }

    private mutating func append(_ command: RuleLine.Command, _ wanted: inout WantedChains) throws(Refusal) {
        guard let table else { return }
        if current.map({ $0.name[...] == command.chain }) != true {
            close(&wanted)
            open(command.chain, table, wanted)
            guard isNew(command.chain, table, wanted) else {
                throw Refusal("the rules of chain \(command.chain.excerpt) are in more than one place")
            }
        }
        take(command.rest)
    }

    private mutating func isNew(
        _ chain: ArraySlice<UInt8>, _ table: IPTablesBatch.TableName, _ wanted: WantedChains
    ) -> Bool {
        guard case .own(let place?) = current?.kind else { return closed.insert(ChainKey(table, chain)).inserted }
        return wanted.chains[place].found == .nothing || wanted.chains[place].found == .empty
    }

    private mutating func open(_ name: ArraySlice<UInt8>, _ table: IPTablesBatch.TableName, _ wanted: WantedChains) {
        let text = name.string
        let kind: OpenChain.Kind =
            if tables.last?[text]?.isBuiltIn == true || RuleSet.Chain.builtInNames.contains(text) {
                .builtIn
            } else if OwnChain.isOurs(text) {
                .own(wanted: wanted.place(of: name, in: table))
            } else {
                .foreign(isDecided: false)
            }
        current = OpenChain(
            name: Array(name), kind: kind, accounting: AccountingFilter(chain: text), text: spare.text,
            ends: spare.ends)
        spare = ([], [])
    }

    // MARK: Rules

    private mutating func take(_ rule: ArraySlice<UInt8>) {
        guard var chain = current.take() else { return }
        defer { current = chain }
        chain.ruleCount += 1
        switch chain.kind {
        case .builtIn:
            let rule = Rule(text: rule)
            guard rule.mayLeadToOurs || ForeignRules.mayEnd(rule.meaning) else { return }
        case .own(let wanted):
            if wanted != nil { chain.fingerprint.append(RuleMeaning(rule), &chain.accounting) }
            if chain.text.count + rule.count > bytesLeft { chain.isTooLong = true }
            guard !chain.isTooLong else {
                chain.text = []
                chain.ends = []
                return
            }
        case .foreign(let isDecided):
            guard !isDecided, foreignLeft > 0 else { return }
            let meaning = RuleMeaning(rule)
            guard ForeignRules.mayDecide(meaning) else { return }
            foreignLeft -= 1
            if meaning.target?.chain == nil { chain.kind = .foreign(isDecided: true) }
        }
        chain.text.append(contentsOf: rule)
        chain.ends.append(chain.text.count)
    }

    /// Judges the chain whose rules have come by.
    private mutating func close(_ wanted: inout WantedChains) {
        guard let chain = current.take(), let table else { return }
        let name = chain.name[...].string
        switch chain.kind {
        case .builtIn: modify(name) { $0.rules = chain.rules }
        case .foreign: if !chain.ends.isEmpty { modify(name) { $0.rules = chain.rules } }
        case .own(let place):
            let isGuard = name == IPTablesChainNames.loopbackGuard
            let isEqual = place.map { wanted.chains[$0].fingerprint == chain.fingerprint } ?? false
            let hasRoom = !chain.isTooLong && (chainsLeft > 0 || isGuard)
            if !isGuard || hasRoom { ownRules[table.rawValue, default: 0] += chain.ruleCount }
            if isEqual, !isGuard {
                if let place { wanted.note(.equal, at: place) }
                spare = (chain.text, chain.ends)
                spare.text.removeAll(keepingCapacity: true)
                spare.ends.removeAll(keepingCapacity: true)
                return
            }
            if let place { wanted.note(!hasRoom ? .notKept : isEqual ? .equal : .different, at: place) }
            guard hasRoom else {
                notKept.insert(ChainKey(table, chain.name[...]))
                return
            }
            if !isGuard { chainsLeft -= 1 }
            bytesLeft -= chain.text.count
            modify(name) { $0.rules = chain.rules }
        }
    }

    // MARK: The end

    /// What was kept, and those of the wanted chains that are there without rules.
    func ruleSet(_ wanted: WantedChains, beside wantedRules: RuleSet) -> RuleSet {
        var tables = tables
        for index in tables.indices {
            guard let name = IPTablesBatch.TableName(rawValue: tables[index].name) else { continue }
            for chain in wantedRules[name.rawValue]?.chains ?? [] where !chain.isBuiltIn {
                guard let place = wanted.place(of: Array(chain.name.utf8)[...], in: name),
                    wanted.chains[place].found == .empty
                else { continue }
                _ = tables[index].place(of: chain.name)
            }
        }
        return RuleSet(family: wanted.node.family, tables: tables)
    }
}
