/// One line of what iptables-save prints or iptables-restore reads.
enum RuleLine {
    /// `:CHAIN POLICY [PACKETS:BYTES]`
    struct Declaration {
        var chain: ArraySlice<UInt8>
        /// Nil for a chain that is not built in.
        var policy: String?
        var counters: RuleSet.Counters?
    }

    /// `[PACKETS:BYTES] -A CHAIN …` and its kin, the counters being optional.
    struct Command {
        /// `-A`, `-I` and so on.
        var name: ArraySlice<UInt8>
        var chain: ArraySlice<UInt8>
        /// What follows the chain.
        var rest: ArraySlice<UInt8>
        var counters: RuleSet.Counters?

        var isAppend: Bool { name.elementsEqual("-A".utf8) }
    }

    /// An empty line or a comment.
    case nothing
    case table(String)
    case declaration(Declaration)
    case command(Command)
    case commit

    /// - Parameters:
    ///   - whole: the line without its end.
    ///   - number: counted from 1, for errors.
    init(_ whole: ArraySlice<UInt8>, number: Int) throws(RuleSetError) {
        var line = whole
        while let last = line.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\r") { line.removeLast() }
        do throws(Refusal) {
            switch line.first {
            case nil: self = .nothing
            case UInt8(ascii: "#"):
                try Self.judge(comment: line)
                self = .nothing
            case UInt8(ascii: "*"): self = .table(try Self.tableName(line.dropFirst()))
            case UInt8(ascii: ":"): self = .declaration(try Declaration(line.dropFirst()))
            case UInt8(ascii: "["), UInt8(ascii: "-"): self = .command(try Command(line))
            default:
                guard line.elementsEqual("COMMIT".utf8) else {
                    throw Refusal("\"\(line.excerpt)\" is no line that iptables-save prints or iptables-restore reads")
                }
                self = .commit
            }
        } catch {
            throw RuleSetError(line: number, reason: error.reason)
        }
    }

    fileprivate struct Refusal: Error {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }

    /// iptables-nft-save prints ``# Table `nat' is incompatible, use 'nft' tool.`` for a table with rules that iptables
    /// has no words for, and ends with success.
    private static func judge(comment line: ArraySlice<UInt8>) throws(Refusal) {
        let start = "# Table `"
        guard line.starts(with: start.utf8) else { return }
        let words = line.dropFirst(start.utf8.count).string.split(separator: "' ", maxSplits: 1)
        guard words.count == 2, words[1].hasPrefix("is incompatible") else { return }
        throw Refusal("table \(words[0]) holds rules made with nft that iptables-save cannot print")
    }

    private static func tableName(_ rest: ArraySlice<UInt8>) throws(Refusal) -> String {
        let name = rest.string
        guard !name.isEmpty, !name.contains(" ") else { throw Refusal("\"*\(rest.excerpt)\" names no table") }
        return name
    }
}

extension RuleLine.Declaration {
    fileprivate init(_ rest: ArraySlice<UInt8>) throws(RuleLine.Refusal) {
        let words = rest.split(separator: UInt8(ascii: " "))
        guard words.count == 2 || words.count == 3 else {
            throw .init("\":\(rest.excerpt)\" is not of the form :CHAIN POLICY [PACKETS:BYTES]")
        }
        if words.count == 3 {
            guard let read = RuleSet.Counters(words[2]) else {
                throw .init("\"\(words[2].excerpt)\" is not of the form [PACKETS:BYTES]")
            }
            counters = read
        }
        chain = words[0]
        policy = words[1].elementsEqual("-".utf8) ? nil : words[1].string
    }
}

extension RuleLine.Command {
    fileprivate init(_ line: ArraySlice<UInt8>) throws(RuleLine.Refusal) {
        rest = line
        if rest.first == UInt8(ascii: "[") {
            let word = rest.takeWord()
            guard let read = RuleSet.Counters(word) else {
                throw .init("\"\(word.excerpt)\" is not of the form [PACKETS:BYTES]")
            }
            counters = read
        }
        name = rest.takeWord()
        chain = rest.takeWord()
        guard !chain.isEmpty else { throw .init("\"\(line.excerpt)\" names no chain") }
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
    var string: String { String(decoding: self, as: UTF8.self) }

    /// The beginning, fit for a message: one line without control characters.
    var excerpt: String {
        let text = String(decoding: prefix(60), as: UTF8.self).unicodeScalars.map { scalar in
            scalar.value < 32 || scalar.value == 127 ? "\u{fffd}" : String(scalar)
        }
        return text.joined() + (count > 60 ? "…" : "")
    }

    /// Takes the first word off, with the blanks after it.
    mutating func takeWord() -> ArraySlice<UInt8> {
        let space = UInt8(ascii: " ")
        let end = firstIndex(of: space) ?? endIndex
        let word = self[startIndex..<end]
        var next = end
        while next < endIndex, self[next] == space { next += 1 }
        self = self[next...]
        return word
    }
}
