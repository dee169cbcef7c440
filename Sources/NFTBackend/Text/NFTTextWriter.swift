import ProxyCore

/// Writes tables and transactions as the lines that `nft -f` reads (nft(8)).
///
/// A whole table has the order of lines that makes two texts comparable: the table, its chains, sets, maps and counters, the rules
/// chain by chain, the elements set by set. Equal input gives equal bytes.
///
/// Names are written as they are: layouts make them of letters, digits, `-`, `/`, `.` and `_`.
public struct NFTTextWriter: Sendable {
    /// What was written so far.
    public internal(set) var text: [UInt8] = []
    /// nft wants to know of a set that it empties whether it is a map.
    private var maps: Set<String>

    /// - Parameter maps: the names of the maps that transactions flush and that were not written here before.
    public init(maps: Set<String> = []) {
        self.maps = maps
    }

    /// Writes a whole table, each set's elements in the order in which they come.
    ///
    /// - Parameter counters: the names of those that elements count in.
    public mutating func write(_ table: NFTTable, elements: some Sequence<NFTElement>, counters: [String] = []) {
        let identity = table.identity
        writeTable(identity)
        let chains = table.chains.sorted { $0.name < $1.name }
        for chain in chains { write(chain, in: identity) }
        let sets = table.sets.sorted { ($0.isMap ? 1 : 0, $0.name) < ($1.isMap ? 1 : 0, $1.name) }
        for set in sets { write(set, in: identity) }
        for counter in counters.sorted() { write(NFTCounter(name: counter), in: identity) }
        for chain in chains {
            for rule in chain.rules { write(rule, chain: chain.name, in: identity) }
        }
        var elementsBySet: [String: [NFTElement]] = [:]
        for element in elements { elementsBySet[element.set, default: []].append(element) }
        for set in sets {
            for element in elementsBySet.removeValue(forKey: set.name) ?? [] { writeAdd(element, in: identity) }
        }
        // The table has no set for these: nft is to say so.
        for (_, elements) in elementsBySet.sorted(by: { $0.key < $1.key }) {
            for element in elements { writeAdd(element, in: identity) }
        }
    }

    /// Writes the steps of a transaction, one a line and in their order. `nft -f` commits them together.
    public mutating func write(_ transaction: NFTTransaction) {
        let table = transaction.table
        for change in transaction.changes { write(change, in: table) }
    }

    private mutating func write(_ change: NFTChange, in table: NFTTable.Identity) {
        switch change {
        case .addTable: writeTable(table)
        case .addOtherTable(let name): writeTable(.init(family: table.family, name: name, comment: nil))
        case .deleteTable(let name):
            write("delete table ")
            write(table.family.nftName)
            write(" ")
            write(name)
            endLine()
        case .addChain(let chain): write(chain, in: table)
        case .addRule(let rule, let chain): write(rule, chain: chain, in: table)
        case .flushChain(let name): writeLine("flush chain ", name, in: table)
        case .deleteChain(let name): writeLine("delete chain ", name, in: table)
        case .addSet(let set): write(set, in: table)
        case .deleteSet(let name): writeLine(maps.contains(name) ? "delete map " : "delete set ", name, in: table)
        case .addCounter(let counter): write(counter, in: table)
        case .deleteCounter(let name): writeLine("delete counter ", name, in: table)
        case .addElement(let element): writeAdd(element, in: table)
        case .deleteElement(let set, let key):
            begin("delete element ", set, in: table)
            write(" { ")
            write(key)
            write(" }")
            endLine()
        case .flushSet(let name): writeLine(maps.contains(name) ? "flush map " : "flush set ", name, in: table)
        }
    }

    private mutating func writeTable(_ table: NFTTable.Identity) {
        write("add table ")
        write(table.family.nftName)
        write(" ")
        write(table.name)
        if let comment = table.comment {
            write(" {")
            writeCommentProperty(comment)
            write(" }")
        }
        endLine()
    }

    private mutating func write(_ chain: NFTChain, in table: NFTTable.Identity) {
        begin("add chain ", chain.name, in: table)
        if chain.hook != nil || chain.comment != nil {
            write(" {")
            if let hook = chain.hook {
                write(" type ")
                write(hook.kind.rawValue)
                write(" hook ")
                write(hook.point.rawValue)
                write(" priority ")
                write(decimal: Int(hook.priority))
                write(" ;")
            }
            if let comment = chain.comment { writeCommentProperty(comment) }
            write(" }")
        }
        endLine()
    }

    private mutating func write(_ set: NFTSet, in table: NFTTable.Identity) {
        if set.isMap { maps.insert(set.name) }
        begin(set.isMap ? "add map " : "add set ", set.name, in: table)
        write(" {")
        writeType(of: set, family: table.family)
        if set.isDynamic || set.hasTimeouts {
            write(" flags ")
            if set.isDynamic { write("dynamic") }
            if set.isDynamic, set.hasTimeouts { write(",") }
            if set.hasTimeouts { write("timeout") }
            write(" ;")
        }
        if let seconds = set.timeoutSeconds {
            write(" timeout ")
            write(decimal: seconds)
            write("s ;")
        }
        if let size = set.size {
            write(" size ")
            write(decimal: Int(size))
            write(" ;")
        }
        if let comment = set.comment { writeCommentProperty(comment) }
        write(" }")
        endLine()
    }

    private mutating func writeType(of set: NFTSet, family: IPFamily) {
        if let fields = set.typeof {
            write(" typeof ")
            write(fields.key, family: family)
        } else {
            write(" type ")
            write(set.key, family: family)
        }
        switch set.datum {
        case .none: break
        case .verdict: write(" : verdict")
        case .counter: write(" : counter")
        case .values(let types):
            write(" : ")
            if let fields = set.typeof {
                write(fields.datum, family: family)
            } else {
                write(types, family: family)
            }
        }
        write(" ;")
    }

    private mutating func write(_ rule: NFTRule, chain: String, in table: NFTTable.Identity) {
        begin("add rule ", chain, in: table)
        for statement in rule.statements {
            write(" ")
            write(statement, family: table.family)
        }
        if let comment = rule.comment { writeComment(comment) }
        endLine()
    }

    private mutating func writeAdd(_ element: NFTElement, in table: NFTTable.Identity) {
        begin("add element ", element.set, in: table)
        write(" { ")
        write(element.key)
        if let comment = element.comment { writeComment(comment) }
        switch element.datum {
        case .none: break
        case .verdict(let verdict):
            write(" : ")
            write(verdict)
        case .counter(let name):
            write(" : \"")
            write(name)
            write("\"")
        case .values(let values):
            write(" : ")
            write(values)
        }
        write(" }")
        endLine()
    }

    private mutating func write(_ counter: NFTCounter, in table: NFTTable.Identity) {
        begin("add counter ", counter.name, in: table)
        if counter.packets > 0 || counter.bytes > 0 {
            write(" packets ")
            write("\(counter.packets)" as String)
            write(" bytes ")
            write("\(counter.bytes)" as String)
        }
        endLine()
    }

    private mutating func writeLine(_ verb: StaticString, _ name: String, in table: NFTTable.Identity) {
        begin(verb, name, in: table)
        endLine()
    }

    private mutating func begin(_ verb: StaticString, _ name: String, in table: NFTTable.Identity) {
        write(verb)
        write(table.family.nftName)
        write(" ")
        write(table.name)
        write(" ")
        write(name)
    }

    private mutating func endLine() { text.append(UInt8(ascii: "\n")) }
}

extension NFTSet {
    /// True for what nft calls a map: a set whose elements have a datum.
    var isMap: Bool { datum != .none }
}

extension IPFamily {
    /// How nft calls the family, in tables and in fields: `ip` or `ip6`.
    var nftName: StaticString { self == .ipv4 ? "ip" : "ip6" }
}
