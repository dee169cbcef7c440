import ProxyCore

/// Reads a table from lines as `nft -f` takes them: `add table`, `add chain`, `add set`, `add map`, `add counter`,
/// `add rule` and `add element`, one a line, a set before its elements.
///
/// Only what the layouts write is known; everything else is an error. Comments from `#` on and empty lines are skipped.
public struct NFTTextReader {
    /// What the lines make.
    public struct Content: Hashable, Sendable {
        public var table: NFTTable
        /// In the order of the lines.
        public var elements: [NFTElement]
        public var counters: [String]
    }

    private var table: NFTTable?
    private var chains: [String: Int] = [:]
    private var sets: [String: Int] = [:]
    private var elements: [NFTElement] = []
    private var counters: [String] = []

    private init() {}

    public static func read(_ text: String) throws(NFTTextError) -> Content {
        var reader = NFTTextReader()
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            do throws(NFTTextFault) {
                var words = try NFTWords(line)
                if !words.isAtEnd { try reader.read(&words) }
            } catch {
                throw NFTTextError(line: index + 1, reason: error.reason)
            }
        }
        guard let table = reader.table else { throw NFTTextError(line: 1, reason: "there is no table") }
        return Content(table: table, elements: reader.elements, counters: reader.counters)
    }

    private mutating func read(_ words: inout NFTWords) throws(NFTTextFault) {
        try words.expect("add")
        let kind = try words.take("what is added")
        let family = try words.takeFamily()
        let name = try words.take("the table's name")
        if kind == "table" {
            guard table == nil else { throw NFTTextFault("a second table") }
            var comment: String?
            try words.block { (key, words) throws(NFTTextFault) in
                guard key == "comment" else { throw NFTTextFault.notUnderstood(key) }
                comment = try words.take("a comment")
            }
            table = NFTTable(.init(family: family, name: name, comment: comment), chains: [], sets: [])
        } else {
            guard table?.identity.family == family, table?.identity.name == name else {
                throw NFTTextFault("table \(name) was not added before")
            }
            words.family = family
            switch kind {
            case "chain": try readChain(&words)
            case "set": try readSet(&words, isMap: false)
            case "map": try readSet(&words, isMap: true)
            case "counter": counters.append(try words.take("a counter's name"))
            case "rule": try readRule(&words)
            case "element": try readElements(&words)
            default: throw NFTTextFault.notUnderstood(kind)
            }
        }
        if let rest = words.next { throw NFTTextFault.notUnderstood(rest) }
    }
}

// MARK: - Chains and rules

extension NFTTextReader {
    private mutating func readChain(_ words: inout NFTWords) throws(NFTTextFault) {
        var chain = NFTChain(name: try words.take("a chain's name"))
        guard chains[chain.name] == nil else { throw NFTTextFault("a second chain \(chain.name)") }
        try words.block { (key, words) throws(NFTTextFault) in
            switch key {
            case "type":
                let kind = try words.take("a chain's type")
                try words.expect("hook")
                let point = try words.take("a hook")
                try words.expect("priority")
                let priority = try words.take("a priority")
                guard let kind = NFTChain.Hook.Kind(rawValue: kind) else { throw NFTTextFault.notUnderstood(kind) }
                guard let point = NFTChain.Hook.Point(rawValue: point) else { throw NFTTextFault.notUnderstood(point) }
                guard let priority = Int32(priority) else { throw NFTTextFault.notUnderstood(priority) }
                chain.hook = .init(kind, point, priority: priority)
            case "comment": chain.comment = try words.take("a comment")
            default: throw NFTTextFault.notUnderstood(key)
            }
        }
        chains[chain.name] = table?.chains.count
        table?.chains.append(chain)
    }

    private mutating func readRule(_ words: inout NFTWords) throws(NFTTextFault) {
        let name = try words.take("a chain's name")
        guard let index = chains[name] else { throw NFTTextFault("chain \(name) was not added before") }
        table?.chains[index].rules.append(try words.rule())
    }
}

// MARK: - Sets and elements

extension NFTTextReader {
    private mutating func readSet(_ words: inout NFTWords, isMap: Bool) throws(NFTTextFault) {
        var set = NFTSet(name: try words.take("a set's name"), key: [])
        guard sets[set.name] == nil else { throw NFTTextFault("a second set \(set.name)") }
        try words.block { (key, words) throws(NFTTextFault) in
            switch key {
            case "type":
                set.key = try words.types()
                if isMap { set.datum = try words.datumType() }
            case "typeof":
                let key = try words.fields()
                set.key = key.map(\.type)
                var datum: [NFTField] = []
                if isMap {
                    try words.expect(":")
                    datum = try words.fields()
                    set.datum = .values(datum.map(\.type))
                }
                set.typeof = .init(key: key, datum: datum)
            case "flags":
                for flag in try words.list(of: "a flag") {
                    switch flag {
                    case "dynamic": set.isDynamic = true
                    case "timeout": set.hasTimeouts = true
                    default: throw NFTTextFault.notUnderstood(flag)
                    }
                }
            case "timeout": set.timeoutSeconds = try words.seconds()
            case "size": set.size = try words.number()
            case "comment": set.comment = try words.take("a comment")
            default: throw NFTTextFault.notUnderstood(key)
            }
        }
        guard !set.key.isEmpty else { throw NFTTextFault("set \(set.name) has no type") }
        sets[set.name] = table?.sets.count
        table?.sets.append(set)
    }

    private mutating func readElements(_ words: inout NFTWords) throws(NFTTextFault) {
        let name = try words.take("a set's name")
        guard let index = sets[name], let set = table?.sets[index] else {
            throw NFTTextFault("set \(name) was not added before")
        }
        try words.expect("{")
        repeat {
            var element = NFTElement(set: name, key: try words.values(set.key))
            if words.skip("comment") { element.comment = try words.take("a comment") }
            switch set.datum {
            case .none: break
            case .verdict:
                try words.expect(":")
                element.datum = .verdict(try words.verdict())
            case .counter:
                try words.expect(":")
                element.datum = .counter(try words.take("a counter's name"))
            case .values(let types):
                try words.expect(":")
                element.datum = .values(try words.values(types))
            }
            elements.append(element)
        } while words.skip(",")
        try words.expect("}")
    }
}

/// A line that is not as the layouts write it.
public struct NFTTextError: Error, Hashable, Sendable, CustomStringConvertible {
    /// From 1.
    public let line: Int
    public let reason: String

    public var description: String { "line \(line): \(reason)" }
}

/// The same without the line.
struct NFTTextFault: Error {
    let reason: String

    init(_ reason: String) {
        self.reason = reason
    }

    static func notUnderstood(_ word: String) -> NFTTextFault { NFTTextFault("\"\(word)\" is not understood") }
}
