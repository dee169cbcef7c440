/// A word of a rule.
struct RuleWord {
    var text: String
    var isQuoted: Bool

    /// True for what begins an option. iptables-restore does not tell a quoted word from another, but iptables-save
    /// quotes only what is a value.
    var isOption: Bool { !isQuoted && text.utf8.first == UInt8(ascii: "-") && text.utf8.count > 1 }
    var isInversion: Bool { !isQuoted && text == "!" }

    /// Splits as iptables-restore does: at blanks, but not within double quotes, where a backslash takes the next
    /// character as it is.
    static func split(_ text: ArraySlice<UInt8>) -> [RuleWord] {
        text.withUnsafeBufferPointer { split($0) }
    }

    private static func split(_ bytes: UnsafeBufferPointer<UInt8>) -> [RuleWord] {
        var words: [RuleWord] = []
        words.reserveCapacity(24)
        var index = 0
        while index < bytes.count {
            if bytes[index].isBlank {
                index += 1
                continue
            }
            let start = index
            while index < bytes.count, !bytes[index].isBlank, bytes[index] != UInt8(ascii: "\"") { index += 1 }
            if index == bytes.count || bytes[index].isBlank {
                let slice = UnsafeBufferPointer(rebasing: bytes[start..<index])
                words.append(RuleWord(text: String(decoding: slice, as: UTF8.self), isQuoted: false))
            } else {
                words.append(quoted(bytes, from: start, &index))
            }
        }
        return words
    }

    /// A word with quotes in it; `index` is moved behind it.
    private static func quoted(
        _ bytes: UnsafeBufferPointer<UInt8>, from start: Int, _ index: inout Int
    ) -> RuleWord {
        var word: [UInt8] = []
        var isInQuotes = false
        index = start
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                isInQuotes.toggle()
            } else if isInQuotes, byte == UInt8(ascii: "\\") {
                index += 1
                if index < bytes.count { word.append(bytes[index]) }
            } else if !isInQuotes, byte.isBlank {
                break
            } else {
                word.append(byte)
            }
            index += 1
        }
        return RuleWord(text: String(decoding: word, as: UTF8.self), isQuoted: true)
    }
}

extension UInt8 {
    fileprivate var isBlank: Bool { self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") }
}
