public import ProxyCore

extension RuleSet {
    /// Reads what iptables-save prints, with counters or without, or iptables-restore input.
    ///
    /// Commands that change a table line by line (`-I`, `-N`, `-P`, `-F`, `-X`) are carried out on what came before.
    /// Options within a rule are not judged: what is not known is kept as it is written.
    public init(parsing text: [UInt8], family: IPFamily) throws(RuleSetError) {
        var parser = RuleSetParser()
        var start = 0
        while start < text.count {
            let end = RuleSetParser.endOfLine(in: text, from: start)
            parser.line += 1
            try parser.read(text[start..<end])
            start = end + 1
        }
        if let open = parser.table {
            throw RuleSetError(
                line: max(parser.line, 1), reason: "the text ends within table \(open.name), before its COMMIT")
        }
        self.init(family: family, tables: parser.tables)
    }
}

private struct RuleSetParser {
    var line = 0
    var tables: [RuleSet.Table] = []
    /// The table whose COMMIT has not come yet.
    var table: RuleSet.Table?
    /// The chain of the last rule: most rules follow one of the same chain.
    private var lastChain: (name: ArraySlice<UInt8>, place: Int)?

    static func endOfLine(in text: [UInt8], from start: Int) -> Int {
        text.withUnsafeBufferPointer { bytes in
            var index = start
            while index < bytes.count, bytes[index] != UInt8(ascii: "\n") { index += 1 }
            return index
        }
    }

    mutating func read(_ text: ArraySlice<UInt8>) throws(RuleSetError) {
        switch try RuleLine(text, number: line) {
        case .nothing: break
        case .table(let name): try begin(name)
        case .commit:
            guard let table else { throw failure("COMMIT without a table before it") }
            tables.append(table)
            self.table = nil
        case .declaration(let declaration): try declare(declaration)
        case .command(let command):
            guard table != nil else { throw failure("a rule without a table before it") }
            guard command.isAppend else { return try carryOut(command) }
            let place = place(of: command.chain)
            table?.append(Rule(counters: command.counters, text: command.rest), to: place)
        }
    }

    private func failure(_ reason: String) -> RuleSetError { RuleSetError(line: line, reason: reason) }

    private mutating func begin(_ name: String) throws(RuleSetError) {
        if let table { throw failure("table \(name) begins before the COMMIT of table \(table.name)") }
        guard !tables.contains(where: { $0.name == name }) else {
            throw failure("table \(name) is there a second time; give each family a file of its own")
        }
        table = RuleSet.Table(name: name)
        lastChain = nil
    }

    private mutating func declare(_ declaration: RuleLine.Declaration) throws(RuleSetError) {
        guard table != nil else { throw failure("a chain without a table before it") }
        let place = table?.place(of: declaration.chain.string) ?? 0
        table?.modify(place) { chain in
            chain.policy = declaration.policy
            chain.counters = declaration.counters
            // A declaration empties a chain that is there (iptables-restore(8)).
            chain.rules = []
        }
    }

    private mutating func place(of chain: ArraySlice<UInt8>) -> Int {
        if let lastChain, lastChain.name == chain { return lastChain.place }
        let place = table?.place(of: chain.string) ?? 0
        lastChain = (chain, place)
        return place
    }

    private mutating func carryOut(_ command: RuleLine.Command) throws(RuleSetError) {
        let (name, chain, counters) = (command.name.string, command.chain, command.counters)
        var rest = command.rest
        if name == "-X" || name == "--delete-chain" {
            table?.remove(chain.string)
            lastChain = nil
            return
        }
        let place = place(of: chain)
        switch name {
        case "--append":
            table?.append(Rule(counters: counters, text: rest), to: place)
        case "-I", "--insert":
            var number = 1
            if let first = rest.first, (48...57).contains(first) { number = Int(rest.takeWord().string) ?? 0 }
            guard let count = table?.chains[place].rules.count, (1...(count + 1)).contains(number) else {
                throw failure("chain \(chain.excerpt) has no place of this number")
            }
            table?.modify(place) { $0.rules.insert(Rule(counters: counters, text: rest), at: number - 1) }
        case "-N", "--new-chain":
            break
        case "-P", "--policy":
            let policy = rest.takeWord().string
            table?.modify(place) { $0.policy = policy }
        case "-F", "--flush":
            table?.modify(place) { $0.rules = [] }
        default:
            throw failure("the command \(name) cannot be carried out on a text")
        }
    }
}
