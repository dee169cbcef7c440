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

    /// Reads what follows `-A CHAIN`.
    init(_ text: some Sequence<UInt8>) {
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
        let targetIndex = clauses.firstIndex { $0[0] == "-j" || $0[0] == "-g" }
        target = targetIndex.flatMap { clauses[$0].count > 1 ? clauses[$0][1] : nil }
        if let targetIndex, clauses[targetIndex].count == 2 { clauses.remove(at: targetIndex) }
        matches = clauses.sorted { $0.lexicographicallyPrecedes($1) }
    }

    init(_ jump: IPTablesJump) {
        self.init(Array("\(jump.matches) -j \(jump.target)".utf8))
    }

    /// The clauses of a rule that iptables-save printed.
    init(_ rule: IPTablesState.Rule) {
        let space = UInt8(ascii: " ")
        // After "-A " comes the chain's name.
        let rest = rule.text.dropFirst(3).drop { $0 != space }
        self.init(rest)
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
    /// How many times a jump is in this chain.
    func count(of jump: IPTablesJump) -> Int {
        let wanted = RuleClauses(jump)
        // Of a chain with thousands of foreign rules only those with this target are taken apart.
        return rules.count { $0.target?.elementsEqual(jump.target.utf8) == true && RuleClauses($0) == wanted }
    }
}

extension IPTablesState.Rule {
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
