public import ProxyCore

/// The iptables rules of one family: tables, their chains, and the rules of each chain in order.
///
/// It is read from what iptables-save prints and from iptables-restore input alike. Rules keep their text and are taken
/// apart when asked (`Rule.meaning`), so that a large save costs little.
public struct RuleSet: Sendable {
    public let family: IPFamily
    package var tables: [Table]

    package init(family: IPFamily, tables: [Table] = []) {
        self.family = family
        self.tables = tables
    }

    package subscript(table: String) -> Table? { tables.first { $0.name == table } }

    /// False for an empty text.
    public var hasTables: Bool { !tables.isEmpty }

    /// The number of rules of all tables.
    public var ruleCount: Int {
        tables.reduce(0) { $0 + $1.chains.reduce(0) { $0 + $1.rules.count } }
    }

    package struct Table: Sendable {
        package let name: String
        /// In the order in which the text first names them.
        package private(set) var chains: [Chain] = []
        private var indexes: [String: Int] = [:]

        package init(name: String) {
            self.name = name
        }

        package subscript(chain: String) -> Chain? { indexes[chain].map { chains[$0] } }

        /// The place of a chain in `chains`.
        package func index(of chain: String) -> Int? { indexes[chain] }

        /// The place of a chain, which is added without a policy if it is not there.
        package mutating func place(of chain: String) -> Int {
            if let index = indexes[chain] { return index }
            indexes[chain] = chains.count
            chains.append(Chain(name: chain))
            return chains.count - 1
        }

        package mutating func modify(_ place: Int, _ body: (inout Chain) -> Void) {
            body(&chains[place])
        }

        package mutating func append(_ rule: Rule, to place: Int) {
            chains[place].rules.append(rule)
        }

        package mutating func remove(_ chain: String) {
            guard let index = indexes.removeValue(forKey: chain) else { return }
            chains.remove(at: index)
            for later in index..<chains.count { indexes[chains[later].name] = later }
        }
    }

    package struct Chain: Sendable {
        package let name: String
        /// ACCEPT or DROP; nil for a chain that is not built in.
        package var policy: String?
        package var counters: Counters?
        package var rules: [Rule] = []

        /// The kernel's five hooks; every other chain is somebody's.
        package static let builtInNames: Set<String> = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
        package var isBuiltIn: Bool { policy != nil || Self.builtInNames.contains(name) }
    }

    /// Packets and bytes.
    package struct Counters: Hashable, Sendable {
        package var packets: UInt64
        package var bytes: UInt64

        package init(packets: UInt64, bytes: UInt64) {
            self.packets = packets
            self.bytes = bytes
        }
    }
}

/// Why a text could not be read as rules.
public struct RuleSetError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    public let line: Int
    /// A sentence without its full stop.
    public let reason: String

    package init(line: Int, reason: String) {
        self.line = line
        self.reason = reason
    }

    public var description: String { "line \(line): \(reason)" }
}
