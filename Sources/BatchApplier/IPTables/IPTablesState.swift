/// What iptables-save printed: the chains and rules of the tables of one family.
public struct IPTablesState: Hashable, Sendable {
    /// A rule as it is printed, apart from its counters.
    public struct Rule: Hashable, Sendable {
        /// The packets and bytes that it has matched; nil in a save without counters.
        public var counters: Counters?
        /// From `-A CHAIN` on, without the line end.
        public var text: ArraySlice<UInt8>
    }

    public struct Counters: Hashable, Sendable {
        public var packets: UInt64
        public var bytes: UInt64
    }

    public struct Chain: Hashable, Sendable {
        public var name: String
        /// ACCEPT or DROP, and `-` for a chain that is not built in.
        public var policy: String
        /// The kernel counts packets only at the end of built-in chains; all others have zeros.
        public var counters: Counters
        public var rules: [Rule] = []

        public var isBuiltIn: Bool { policy != "-" }
    }

    public struct Table: Hashable, Sendable {
        public var name: String
        public private(set) var chains: [Chain] = []
        private var indexes: [String: Int] = [:]

        init(name: String) {
            self.name = name
        }

        public subscript(chain: String) -> Chain? { indexes[chain].map { chains[$0] } }

        mutating func declare(_ chain: Chain) {
            indexes[chain.name] = chains.count
            chains.append(chain)
        }

        mutating func append(_ rule: Rule, to chain: String) {
            guard let index = indexes[chain] else { return }
            chains[index].rules.append(rule)
        }
    }

    public internal(set) var tables: [Table] = []

    public subscript(table: String) -> Table? { tables.first { $0.name == table } }
}

extension IPTablesState {
    /// Reads what iptables-save prints, with or without `-c`. Lines that are neither chain nor rule are left out.
    ///
    /// The rules' texts are slices of `save`, so a large table costs no copy.
    public init(parsing save: [UInt8]) {
        var table: Table?
        var start = 0
        while start < save.count {
            let end = save[start...].firstIndex(of: UInt8(ascii: "\n")) ?? save.count
            let line = save[start..<end]
            start = end + 1
            switch line.first {
            case UInt8(ascii: "*"):
                table = Table(name: String(decoding: line.dropFirst(), as: UTF8.self))
            case UInt8(ascii: ":"):
                if let chain = Chain(declaration: line) { table?.declare(chain) }
            case UInt8(ascii: "["), UInt8(ascii: "-"):
                if let (chain, rule) = Rule.parse(line) { table?.append(rule, to: chain) }
            case UInt8(ascii: "C"):
                if let table { tables.append(table) }
                table = nil
            default: break
            }
        }
    }
}

extension IPTablesState.Chain {
    /// Reads `:NAME POLICY [PACKETS:BYTES]`.
    fileprivate init?(declaration line: ArraySlice<UInt8>) {
        let words = line.dropFirst().split(separator: UInt8(ascii: " "))
        guard words.count >= 2 else { return nil }
        name = String(decoding: words[0], as: UTF8.self)
        policy = String(decoding: words[1], as: UTF8.self)
        counters = (words.count > 2 ? IPTablesState.Counters(words[2]) : nil) ?? .init(packets: 0, bytes: 0)
    }
}

extension IPTablesState.Rule {
    /// Reads `[PACKETS:BYTES] -A CHAIN …`, the counters being optional.
    fileprivate static func parse(_ line: ArraySlice<UInt8>) -> (chain: String, rule: Self)? {
        var text = line
        var counters: IPTablesState.Counters?
        if line.first == UInt8(ascii: "[") {
            guard let space = line.firstIndex(of: UInt8(ascii: " ")) else { return nil }
            counters = IPTablesState.Counters(line[..<space])
            text = line[(space + 1)...]
        }
        guard text.starts(with: "-A ".utf8) else { return nil }
        let name = text.dropFirst(3).prefix { $0 != UInt8(ascii: " ") }
        return (String(decoding: name, as: UTF8.self), Self(counters: counters, text: text))
    }
}

extension IPTablesState.Counters {
    /// Reads `[PACKETS:BYTES]`.
    fileprivate init?(_ text: ArraySlice<UInt8>) {
        let parts = text.dropFirst().dropLast().split(separator: UInt8(ascii: ":"))
            .map { UInt64(String(decoding: $0, as: UTF8.self)) }
        guard parts.count == 2, let packets = parts[0], let bytes = parts[1] else { return nil }
        self.init(packets: packets, bytes: bytes)
    }
}

extension IPTablesState.Counters: CustomStringConvertible {
    public var description: String { "[\(packets):\(bytes)]" }
}

extension IPTablesState.Table {
    /// Equal but for counters: nobody has changed a rule, a chain or a policy.
    func hasSameRules(as other: Self) -> Bool {
        chains.count == other.chains.count
            && zip(chains, other.chains).allSatisfy { left, right in
                left.name == right.name && left.policy == right.policy
                    && left.rules.lazy.map(\.text).elementsEqual(right.rules.lazy.map(\.text))
            }
    }
}
