import ProxyCore

extension RuleMeaning {
    /// Reads a rule that is written with the few words that most of kube-proxy's rules need, and without a word of
    /// doubt: nil for any other, which is then read in full. It is several times as fast.
    init?(plain text: ArraySlice<UInt8>) {
        let read = text.withUnsafeBytes { bytes in
            var reader = PlainRuleReader(bytes)
            return reader.read()
        }
        guard let read else { return nil }
        self = read
    }
}

/// Reads a rule from its bytes, with no text of its own for each word.
private struct PlainRuleReader {
    private let bytes: UnsafeRawBufferPointer
    private var index = 0
    private var base: [RuleMatch] = []
    private var modules: [RuleMatch] = []
    private var target: RuleTarget?
    private var comment: String?

    typealias Word = UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    mutating func read() -> RuleMeaning? {
        base.reserveCapacity(5)
        while let word = next() {
            if word.isEqual("!") {
                guard let option = next(), readBase(option, .yes) else { return nil }
            } else if word.isEqual("-m") {
                guard let name = next(), readModule(name) else { return nil }
            } else if word.isEqual("-j") {
                guard let name = next(), readTarget(name) else { return nil }
            } else {
                guard readBase(word, .no) else { return nil }
            }
        }
        guard isAtEnd else { return nil }
        return RuleMeaning(matches: modules.isEmpty ? base : base + modules, target: target, comment: comment)
    }

    /// False where the last word could not be read.
    private var isAtEnd: Bool { index >= bytes.count }

    /// The next word; nil at the end, and for one with a quote in it, before which the reading stops.
    private mutating func next() -> Word? { word(from: &index) }

    private func word(from index: inout Int) -> Word? {
        while index < bytes.count, bytes[index].isBlank { index += 1 }
        let start = index
        while index < bytes.count, !bytes[index].isBlank {
            if bytes[index] == UInt8(ascii: "\"") {
                index = start
                return nil
            }
            index += 1
        }
        return index > start ? Word(rebasing: bytes[start..<index]) : nil
    }

    /// A value after which an option or the end comes.
    private mutating func value() -> Word? {
        guard let word = next(), !word.isEqual("!"), word[0] != UInt8(ascii: "-"), hasNoMoreValues() else { return nil }
        return word
    }

    private func hasNoMoreValues() -> Bool {
        var next = index
        guard let word = word(from: &next) else { return next == bytes.count }
        if word.isEqual("!") {
            guard let option = self.word(from: &next) else { return false }
            return option[0] == UInt8(ascii: "-") && option.count > 1
        }
        return word[0] == UInt8(ascii: "-") && word.count > 1
    }

    // MARK: Options

    private mutating func readBase(_ option: Word, _ inverted: RuleMatch.Inverted) -> Bool {
        guard option.count > 1, option[0] == UInt8(ascii: "-"), let match = base(option, inverted) else { return false }
        base.append(match)
        return true
    }

    private mutating func base(_ option: Word, _ inverted: RuleMatch.Inverted) -> RuleMatch? {
        if option.isEqual("-s") { return addresses().map { .source($0, inverted) } }
        if option.isEqual("-d") { return addresses().map { .destination($0, inverted) } }
        if option.isEqual("--dport") {
            return value().flatMap(\.decimal).map { .destinationPorts(PortSet([$0...$0]), inverted) }
        }
        if option.isEqual("-p") { return value().flatMap(\.transport).map { .transport($0, inverted) } }
        return nil
    }

    private mutating func addresses() -> AddressMask? {
        guard let word = value(), let range = AddressMask(bytes: word) else { return nil }
        // Every address of a family is no condition at all.
        return range.mask.low == 0 || range.mask.low == .max << 32 ? nil : range
    }

    private mutating func readModule(_ name: Word) -> Bool {
        if name.isEqual("comment") { return readComment() }
        if name.transport != nil { return hasNoMoreValues() }
        if name.isEqual("statistic") {
            guard next()?.isEqual("--mode") == true, next()?.isEqual("random") == true,
                next()?.isEqual("--probability") == true, let value = value(),
                let chance = RuleNumbers.chance(String(decoding: value, as: UTF8.self))
            else { return false }
            modules.append(.random(chance, .no))
            return startsAnew()
        }
        return false
    }

    /// True if no option of the module last named follows.
    private func startsAnew() -> Bool {
        var next = index
        guard let word = word(from: &next) else { return next == bytes.count }
        return word.isEqual("-m") || word.isEqual("-j")
    }

    private mutating func readComment() -> Bool {
        guard next()?.isEqual("--comment") == true else { return false }
        if let word = next() {
            comment = String(decoding: word, as: UTF8.self)
            return hasNoMoreValues()
        }
        guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return false }
        let start = index + 1
        var end = start
        while end < bytes.count, bytes[end] != UInt8(ascii: "\"") {
            if bytes[end] == UInt8(ascii: "\\") { return false }
            end += 1
        }
        guard end < bytes.count, end + 1 == bytes.count || bytes[end + 1].isBlank else { return false }
        comment = String(decoding: bytes[start..<end], as: UTF8.self)
        index = end + 1
        return hasNoMoreValues()
    }

    // MARK: Target

    private mutating func readTarget(_ name: Word) -> Bool {
        if name.isEqual("DNAT") {
            guard next()?.isEqual("--to-destination") == true, let value = value(),
                let place = NATTarget(plain: value)
            else { return false }
            target = .dnat(place)
        } else if name.starts(with: "KUBE-") {
            target = .jump(String(decoding: name, as: UTF8.self))
        } else {
            return false
        }
        skipBlanks()
        return isAtEnd
    }

    private mutating func skipBlanks() {
        while index < bytes.count, bytes[index].isBlank { index += 1 }
    }
}

extension NATTarget {
    /// Reads `ADDRESS:PORT` or `[ADDRESS]:PORT`; nil for every other form.
    fileprivate init?(plain word: UnsafeRawBufferPointer) {
        guard let colon = word.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        var address = word[..<colon]
        if address.first == UInt8(ascii: "["), address.last == UInt8(ascii: "]"), address.count > 2 {
            address = address.dropFirst().dropLast()
        } else if address.contains(UInt8(ascii: ":")) {
            return nil
        }
        guard let read = IPAddress(bytes: UnsafeRawBufferPointer(rebasing: address)),
            let port = UnsafeRawBufferPointer(rebasing: word[(colon + 1)...]).decimal
        else { return nil }
        self.init()
        addresses = ClosedAddressRange(first: read, last: read)
        ports = port...port
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func isEqual(_ word: StaticString) -> Bool {
        count == word.utf8CodeUnitCount && starts(with: word)
    }

    fileprivate func starts(with word: StaticString) -> Bool {
        word.withUTF8Buffer { word in
            guard count >= word.count else { return false }
            for index in word.indices where self[index] != word[index] { return false }
            return true
        }
    }

    /// A number of at most five digits and nothing else.
    fileprivate var decimal: UInt16? {
        guard (1...5).contains(count) else { return nil }
        var value = 0
        for digit in self {
            guard (48...57).contains(digit) else { return nil }
            value = value * 10 + Int(digit - 48)
        }
        return UInt16(exactly: value)
    }

    fileprivate var transport: UInt8? {
        if isEqual("tcp") { return 6 }
        if isEqual("udp") { return 17 }
        return isEqual("sctp") ? 132 : nil
    }
}

extension UInt8 {
    fileprivate var isBlank: Bool { self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") }
}
