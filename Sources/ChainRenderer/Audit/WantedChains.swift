import ProxyCore

/// The chains that are wanted at one moment: what each means, and where its text is.
struct WantedChains: Sendable {
    struct Chain: Sendable {
        var fingerprint = ChainFingerprint()
        var ruleCount: Int32 = 0
        /// The place of the fragment whose own chain it is; nil for one that services share.
        let fragment: Int32?
        let table: IPTablesBatch.TableName
        /// True for KUBE-FIREWALL.
        let isGuard: Bool
        var found = Found.nothing
    }

    /// What was found in place of a chain.
    enum Found: Sendable {
        case nothing
        /// It is declared and has no rule.
        case empty
        case equal
        /// It differs, and its rules were kept.
        case different
        /// It differs, and there were too many to keep its rules.
        case notKept
    }

    let node: NodePlan
    private let options: IPTablesRules.Options
    private let names: [ServicePortName]
    private let fragments: [ServiceFragment]
    private(set) var chains: [Chain] = []
    private var places: [ChainKey: Int32] = [:]

    init(node: NodePlan, options: IPTablesRules.Options, names: [ServicePortName], fragments: [ServiceFragment]) {
        self.node = node
        self.options = options
        self.names = names
        self.fragments = fragments
    }

    var isIndexed: Bool { !chains.isEmpty }

    /// Works out what each chain means: the time is that of all rules.
    mutating func makeIndex() {
        let count = fragments.reduce(16) { $0 + $1.chainCount }
        chains.reserveCapacity(count)
        places.reserveCapacity(count)
        for table in [IPTablesBatch.TableName.filter, .nat] {
            var last: (name: ArraySlice<UInt8>, place: Int?) = ([], nil)
            // What a rule only counts for is the next one of the same chain.
            var accounting = AccountingFilter(chain: "")
            for piece in pieces(of: table) {
                piece.text.forEachRuleLine { line in
                    if line.isDeclaration { return declare(line.chain, table, piece.fragment) }
                    if last.name != line.chain {
                        last = (line.chain, place(of: line.chain, in: table))
                        accounting = AccountingFilter(chain: line.chain.string)
                    }
                    guard let place = last.place else { return }
                    chains[place].fingerprint.append(RuleMeaning(line.rest), &accounting)
                    chains[place].ruleCount += 1
                }
            }
        }
    }

    private mutating func declare(_ name: ArraySlice<UInt8>, _ table: IPTablesBatch.TableName, _ fragment: Int?) {
        places[ChainKey(table, name)] = Int32(chains.count)
        let isGuard = name.elementsEqual(IPTablesChainNames.loopbackGuard.utf8)
        chains.append(Chain(fragment: fragment.map(Int32.init), table: table, isGuard: isGuard))
    }

    func place(of name: ArraySlice<UInt8>, in table: IPTablesBatch.TableName) -> Int? {
        place(of: ChainKey(table, name))
    }

    func place(of key: ChainKey) -> Int? { places[key].map(Int.init) }

    mutating func note(_ found: Found, at place: Int) { chains[place].found = found }

    // MARK: Text

    private struct Piece {
        var text: ArraySlice<UInt8>
        /// Nil for what services share.
        var fragment: Int?
    }

    /// The text of a table in the order of a full batch.
    private func pieces(of table: IPTablesBatch.TableName) -> [Piece] {
        func each(_ part: KeyPath<ServiceFragment, ArraySlice<UInt8>>) -> [Piece] {
            fragments.enumerated().map { Piece(text: $1[keyPath: part], fragment: $0) }
        }
        switch table {
        case .filter:
            let (head, tail) = TopLevelChains.filterParts(node, options)
            return [Piece(text: head[...])] + each(\.filter) + [Piece(text: tail[...])]
        case .nat:
            let (head, rules, tail) = TopLevelChains.natParts(node)
            return [Piece(text: head[...])] + each(\.chains) + [Piece(text: rules[...])] + each(\.top) + each(\.own)
                + [Piece(text: tail[...])]
        case .mangle: return []
        }
    }

    /// The rules of the chains at some places, and the jumps.
    func ruleSet(of selected: Set<Int>) -> RuleSet {
        let owners = Set(selected.map { chains[$0].fragment })
        var tables: [RuleSet.Table] = []
        for name in [IPTablesBatch.TableName.filter, .nat] {
            var table = RuleSet.Table(name: name.rawValue)
            for piece in pieces(of: name) {
                // A fragment has rules in shared chains too.
                guard owners.contains(nil) || owners.contains(piece.fragment.map(Int32.init)) else { continue }
                piece.text.forEachRuleLine { line in
                    guard let place = place(of: line.chain, in: name), selected.contains(place) else { return }
                    let chain = table.place(of: line.chain.string)
                    if !line.isDeclaration { table.append(Rule(text: line.rest), to: chain) }
                }
            }
            tables.append(table)
        }
        var rules = RuleSet(family: node.family, tables: tables)
        rules.insert(TopLevelChains.jumps)
        return rules
    }

    /// One chain with its rules.
    func chain(_ name: String, in table: String) -> RuleSet.Chain? {
        let bytes = Array(name.utf8)
        guard let table = IPTablesBatch.TableName(rawValue: table), let place = place(of: bytes[...], in: table) else {
            return nil
        }
        var chain = RuleSet.Chain(name: name)
        func collect(_ text: ArraySlice<UInt8>) {
            text.forEachRuleLine { line in
                if !line.isDeclaration, line.chain.elementsEqual(bytes) { chain.rules.append(Rule(text: line.rest)) }
            }
        }
        if let fragment = chains[place].fragment {
            collect(fragments[Int(fragment)].own)
        } else {
            for piece in pieces(of: table) { collect(piece.text) }
        }
        return chain
    }

    // MARK: Services

    /// The service port that a chain of the nat table belongs to.
    func service(ofChain name: String) -> String? {
        guard let place = place(of: Array(name.utf8)[...], in: .nat), let fragment = chains[place].fragment else {
            return nil
        }
        return names[Int(fragment)].description
    }

    /// The service port whose chains have this hash in their names.
    func service(ofHash hash: Substring) -> String? {
        for prefix in IPTablesChainNames.servicePrefixes {
            if let service = service(ofChain: prefix + hash) { return service }
        }
        return nil
    }

    func hasService(_ service: String) -> Bool { names.contains { $0.description == service } }

    /// True if one of the service port's rules, by its comment, is in a chain that meets a condition.
    func hasRule(of service: String, inChainWhere condition: (Int) -> Bool) -> Bool {
        func has(_ text: ArraySlice<UInt8>, _ table: IPTablesBatch.TableName) -> Bool {
            var result = false
            text.forEachRuleLine { line in
                guard !result, !line.isDeclaration, let place = place(of: line.chain, in: table), condition(place)
                else { return }
                result = RuleMeaning(line.rest).comment.flatMap(ServiceNames.service) == service
            }
            return result
        }
        return zip(names, fragments).contains { name, fragment in
            name.description == service
                && (has(fragment.filter, .filter) || has(fragment.top, .nat) || has(fragment.own, .nat))
        }
    }
}

extension ArraySlice<UInt8> {
    /// A line of rendered text: `:CHAIN …` or `-A CHAIN …`.
    fileprivate struct RuleText {
        var chain: ArraySlice<UInt8>
        var rest: ArraySlice<UInt8>
        var isDeclaration: Bool
    }

    /// Calls `body` for each line that declares a chain or appends a rule.
    fileprivate func forEachRuleLine(_ body: (RuleText) -> Void) {
        var start = startIndex
        while start < endIndex {
            let end = place(of: UInt8(ascii: "\n"), from: start)
            let isDeclaration = self[start] == UInt8(ascii: ":")
            if isDeclaration || self[start] == UInt8(ascii: "-") {
                let nameStart = Swift.min(start + (isDeclaration ? 1 : 3), end)
                let nameEnd = Swift.min(place(of: UInt8(ascii: " "), from: nameStart), end)
                body(
                    RuleText(
                        chain: self[nameStart..<nameEnd], rest: self[Swift.min(nameEnd + 1, end)..<end],
                        isDeclaration: isDeclaration))
            }
            start = end + 1
        }
    }

    private func place(of byte: UInt8, from start: Int) -> Int {
        withUnsafeBufferPointer { bytes in
            var index = start - startIndex
            while index < bytes.count, bytes[index] != byte { index += 1 }
            return index + startIndex
        }
    }
}
