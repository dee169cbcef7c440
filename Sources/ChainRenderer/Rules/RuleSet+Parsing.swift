public import ProxyCore

extension RuleSet {
    /// Reads what iptables-save prints, with counters or without, or iptables-restore input.
    ///
    /// Commands that change a table line by line (`-I`, `-N`, `-P`, `-F`, `-X`) are carried out on what came before.
    /// Options within a rule are not judged: what is not known is kept as it is written.
    public init(parsing text: [UInt8], family: IPFamily) throws(RuleSetError) {
        var parser = RuleSetParser(text: text)
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
    let text: [UInt8]
    var line = 0
    var tables: [RuleSet.Table] = []
    /// The table whose COMMIT has not come yet.
    var table: RuleSet.Table?
    /// The chain of the last rule: most rules follow one of the same chain.
    private var lastChain: (name: ArraySlice<UInt8>, place: Int)?

    init(text: [UInt8]) {
        self.text = text
    }

    static func endOfLine(in text: [UInt8], from start: Int) -> Int {
        text.withUnsafeBufferPointer { bytes in
            var index = start
            while index < bytes.count, bytes[index] != UInt8(ascii: "\n") { index += 1 }
            return index
        }
    }

    mutating func read(_ whole: ArraySlice<UInt8>) throws(RuleSetError) {
        var line = whole
        while let last = line.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\r") { line.removeLast() }
        switch line.first {
        case nil: return
        case UInt8(ascii: "#"): try readComment(line)
        case UInt8(ascii: "*"): try beginTable(line.dropFirst())
        case UInt8(ascii: ":"): try declareChain(line.dropFirst())
        case UInt8(ascii: "["), UInt8(ascii: "-"): try readCommand(line)
        default:
            guard line.elementsEqual("COMMIT".utf8) else {
                throw failure("\"\(line.excerpt)\" is no line that iptables-save prints or iptables-restore reads")
            }
            guard let table else { throw failure("COMMIT without a table before it") }
            tables.append(table)
            self.table = nil
        }
    }

    private func failure(_ reason: String) -> RuleSetError { RuleSetError(line: line, reason: reason) }

    /// iptables-nft-save prints ``# Table `nat' is incompatible, use 'nft' tool.`` for a table with rules that iptables
    /// has no words for, and ends with success.
    private func readComment(_ line: ArraySlice<UInt8>) throws(RuleSetError) {
        let start = "# Table `"
        guard line.starts(with: start.utf8) else { return }
        let words = line.dropFirst(start.utf8.count).string.split(separator: "' ", maxSplits: 1)
        guard words.count == 2, words[1].hasPrefix("is incompatible") else { return }
        throw failure("table \(words[0]) holds rules made with nft that iptables-save cannot print")
    }

    private mutating func beginTable(_ rest: ArraySlice<UInt8>) throws(RuleSetError) {
        let name = rest.string
        guard !name.isEmpty, !name.contains(" ") else { throw failure("\"*\(rest.excerpt)\" names no table") }
        if let table { throw failure("table \(name) begins before the COMMIT of table \(table.name)") }
        guard !tables.contains(where: { $0.name == name }) else {
            throw failure("table \(name) is there a second time; give each family a file of its own")
        }
        table = RuleSet.Table(name: name)
        lastChain = nil
    }

    /// `NAME POLICY [PACKETS:BYTES]`
    private mutating func declareChain(_ rest: ArraySlice<UInt8>) throws(RuleSetError) {
        let words = rest.split(separator: UInt8(ascii: " "))
        guard table != nil else { throw failure("a chain without a table before it") }
        guard words.count == 2 || words.count == 3 else {
            throw failure("\":\(rest.excerpt)\" is not of the form :CHAIN POLICY [PACKETS:BYTES]")
        }
        var counters: RuleSet.Counters?
        if words.count == 3 {
            guard let read = RuleSet.Counters(words[2]) else {
                throw failure("\"\(words[2].excerpt)\" is not of the form [PACKETS:BYTES]")
            }
            counters = read
        }
        let policy = words[1].string
        let place = table?.place(of: words[0].string) ?? 0
        table?.modify(place) { chain in
            chain.policy = policy == "-" ? nil : policy
            chain.counters = counters
            // A declaration empties a chain that is there (iptables-restore(8)).
            chain.rules = []
        }
    }

    /// `[PACKETS:BYTES] -A CHAIN …` and its kin, the counters being optional.
    private mutating func readCommand(_ line: ArraySlice<UInt8>) throws(RuleSetError) {
        guard table != nil else { throw failure("a rule without a table before it") }
        var rest = line
        var counters: RuleSet.Counters?
        if rest.first == UInt8(ascii: "[") {
            let word = rest.takeWord()
            guard let read = RuleSet.Counters(word) else {
                throw failure("\"\(word.excerpt)\" is not of the form [PACKETS:BYTES]")
            }
            counters = read
        }
        let command = rest.takeWord()
        let chain = rest.takeWord()
        guard !chain.isEmpty else { throw failure("\"\(line.excerpt)\" names no chain") }
        if command.elementsEqual("-A".utf8) {
            let place = place(of: chain)
            table?.append(Rule(counters: counters, text: rest), to: place)
            return
        }
        try carryOut(command.string, chain, rest, counters)
    }

    private mutating func place(of chain: ArraySlice<UInt8>) -> Int {
        if let lastChain, lastChain.name == chain { return lastChain.place }
        let place = table?.place(of: chain.string) ?? 0
        lastChain = (chain, place)
        return place
    }

    private mutating func carryOut(
        _ command: String, _ chain: ArraySlice<UInt8>, _ rest: ArraySlice<UInt8>, _ counters: RuleSet.Counters?
    ) throws(RuleSetError) {
        var rest = rest
        if command == "-X" || command == "--delete-chain" {
            table?.remove(chain.string)
            lastChain = nil
            return
        }
        let place = place(of: chain)
        switch command {
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
            throw failure("the command \(command) cannot be carried out on a text")
        }
    }
}

extension RuleSet.Counters {
    /// Reads `[PACKETS:BYTES]`.
    init?(_ text: ArraySlice<UInt8>) {
        guard text.first == UInt8(ascii: "["), text.last == UInt8(ascii: "]"),
            let colon = text.firstIndex(of: UInt8(ascii: ":")),
            let packets = UInt64(decimal: text[(text.startIndex + 1)..<colon]),
            let bytes = UInt64(decimal: text[(colon + 1)..<(text.endIndex - 1)])
        else { return nil }
        self.init(packets: packets, bytes: bytes)
    }
}

extension UInt64 {
    fileprivate init?(decimal digits: ArraySlice<UInt8>) {
        guard !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            guard (48...57).contains(digit) else { return nil }
            let (product, overflows) = value.multipliedReportingOverflow(by: 10)
            let (sum, carries) = product.addingReportingOverflow(UInt64(digit - 48))
            guard !overflows, !carries else { return nil }
            value = sum
        }
        self = value
    }
}

extension ArraySlice<UInt8> {
    fileprivate var string: String { String(decoding: self, as: UTF8.self) }

    /// The beginning, fit for a message: one line without control characters.
    fileprivate var excerpt: String {
        let text = String(decoding: prefix(60), as: UTF8.self).unicodeScalars.map { scalar in
            scalar.value < 32 || scalar.value == 127 ? "\u{fffd}" : String(scalar)
        }
        return text.joined() + (count > 60 ? "…" : "")
    }

    /// Takes the first word off, with the blanks after it.
    fileprivate mutating func takeWord() -> ArraySlice<UInt8> {
        let space = UInt8(ascii: " ")
        let end = firstIndex(of: space) ?? endIndex
        let word = self[startIndex..<end]
        var next = end
        while next < endIndex, self[next] == space { next += 1 }
        self = self[next...]
        return word
    }
}
