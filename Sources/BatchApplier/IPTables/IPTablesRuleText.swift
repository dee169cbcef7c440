import ProxyCore

/// A rule's text split into clauses, so that two spellings of one rule compare equal.
///
/// A clause is an option with its values and the `!` before it: `-m conntrack`, `! --ctstate NEW`, `-j DROP`. What
/// iptables-save prints differs from what was put in by the order of the clauses and by quotes.
struct RuleClauses: Hashable {
    /// Sorted, apart from the target.
    let matches: [[String]]
    /// The chain or target after `-j` or `-g`.
    let target: String?
    /// True for `-g`: the packet does not come back.
    let isGoto: Bool

    /// Reads what follows `-A CHAIN`.
    init(_ text: some Sequence<UInt8>) {
        var clauses = Self.split(text)
        let targetIndex = Self.targetIndex(clauses)
        target = targetIndex.flatMap { clauses[$0].count > 1 ? clauses[$0][1] : nil }
        isGoto = targetIndex.map { clauses[$0][0] == "-g" } ?? false
        if let targetIndex, clauses[targetIndex].count == 2 { clauses.remove(at: targetIndex) }
        matches = clauses.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// The clauses in their order.
    static func split(_ text: some Sequence<UInt8>) -> [[String]] {
        var clauses: [[String]] = []
        var isInverted = false
        for word in Self.words(text) {
            if !word.isQuoted, word.text == "!" {
                isInverted = true
            } else if !word.isQuoted, word.text.hasPrefix("-") || clauses.isEmpty || isInverted {
                clauses.append(isInverted ? ["!", word.text] : [word.text])
                isInverted = false
            } else {
                clauses[clauses.count - 1].append(word.text)
            }
        }
        return clauses
    }

    /// Where the target stands; what follows are its options.
    static func targetIndex(_ clauses: [[String]]) -> Int? {
        clauses.firstIndex { $0[0] == "-j" || $0[0] == "-g" }
    }

    init(_ jump: IPTablesJump) {
        self.init(Array("\(jump.matches) -j \(jump.target)".utf8))
    }

    /// The clauses of a rule that iptables-save printed.
    init(_ rule: IPTablesState.Rule) {
        self.init(rule.specification)
    }

    /// Splits as iptables-restore does: at blanks, but not within double quotes, where a backslash takes the next
    /// character as it is.
    private static func words(_ text: some Sequence<UInt8>) -> [(text: String, isQuoted: Bool)] {
        var words: [(String, Bool)] = []
        var word: [UInt8] = []
        var isInQuotes = false
        var isQuoted = false
        var isEscaped = false
        func end() {
            if !word.isEmpty || isQuoted { words.append((String(decoding: word, as: UTF8.self), isQuoted)) }
            word = []
            isQuoted = false
        }
        for byte in text {
            if isEscaped {
                word.append(byte)
                isEscaped = false
            } else if isInQuotes, byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInQuotes.toggle()
                isQuoted = true
            } else if !isInQuotes, byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
                end()
            } else {
                word.append(byte)
            }
        }
        end()
        return words
    }
}

extension IPTablesState.Chain {
    /// Where a jump is in this chain.
    func indexes(of jump: IPTablesJump) -> [Int] {
        let wanted = RuleClauses(jump)
        // Of a chain with thousands of foreign rules only those with this target are taken apart.
        return rules.indices.filter { index in
            rules[index].target?.elementsEqual(jump.target.utf8) == true && RuleClauses(rules[index]) == wanted
        }
    }

    /// How many times a jump is in this chain.
    func count(of jump: IPTablesJump) -> Int { indexes(of: jump).count }

    /// Where a rule of this very text is in this chain.
    func indexes(of text: ArraySlice<UInt8>) -> [Int] {
        rules.indices.filter { rules[$0].text == text }
    }
}

extension IPTablesState.Rule {
    /// What follows the chain's name, from the blank on: matches and target.
    var specification: ArraySlice<UInt8> {
        let space = UInt8(ascii: " ")
        return text.dropFirst(3).drop { $0 != space }
    }

    /// The line that deletes the first rule of this text from its chain.
    func deletion(from chain: String) -> [UInt8] {
        Array("-D \(chain)".utf8) + specification + [UInt8(ascii: "\n")]
    }

    /// The line that inserts this rule with its counters, to be the one of this number, counted from 1.
    func insertion(into chain: String, at number: Int) -> [UInt8] {
        let counted = counters.map { "\($0) " } ?? ""
        return Array("\(counted)-I \(chain) \(number)".utf8) + specification + [UInt8(ascii: "\n")]
    }

    /// The target of this rule: the word after the unquoted `-j` or `-g`.
    var target: ArraySlice<UInt8>? {
        let space = UInt8(ascii: " ")
        var index = text.startIndex
        var isInQuotes = false
        var isEscaped = false
        while index < text.endIndex {
            let byte = text[index]
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInQuotes.toggle()
            } else if !isInQuotes, byte == space {
                let word = text[(index + 1)...].prefix(3)
                if word.elementsEqual("-j ".utf8) || word.elementsEqual("-g ".utf8) {
                    return text[(index + 4)...].prefix { $0 != space }
                }
            }
            index += 1
        }
        return nil
    }
}
