/// What one sync commits to the iptables tables of one family.
///
/// A renderer makes it, the applier commits it, and neither knows the other.
public struct IPTablesBatch: Hashable, Sendable {
    public enum TableName: String, CaseIterable, Sendable {
        case filter
        case nat
        /// No batch writes it; kube-proxy leaves an empty chain there, by which it notices a flush.
        case mangle
    }

    /// The part of an iptables-restore input that belongs to one table.
    public struct Table: Hashable, Sendable {
        public var name: TableName
        /// From `*filter` or `*nat` to `COMMIT`, with the line ends. Every chain that it declares is replaced, all
        /// others are left alone (`iptables-restore --noflush`).
        public var text: [UInt8]

        public init(name: TableName, text: [UInt8]) {
            self.name = name
            self.text = text
        }
    }

    public var family: IPFamily
    /// In the order in which they are committed.
    public var tables: [Table]
    /// The jumps that must be there. Each one missing is put first in its chain, in this order.
    public var jumps: [IPTablesJump]
    /// Chains whose names begin with one of these are ours: those that `tables` does not declare are removed. Empty
    /// in a partial batch, which names its stale chains in its text.
    public var ownedChainPrefixes: [String]
    /// Chains of ours that stay as they are, though `tables` does not declare them: earlier batches wrote them.
    public var keptChains: Set<String>
    /// Kernel settings to be made after the commit, by their path under /proc/sys.
    public var sysctls: [Sysctl]

    public struct Sysctl: Hashable, Sendable {
        public var path: String
        public var value: String

        public init(path: String, value: String) {
            self.path = path
            self.value = value
        }
    }

    public init(
        family: IPFamily, tables: [Table], jumps: [IPTablesJump] = [], ownedChainPrefixes: [String] = [],
        keptChains: Set<String> = [], sysctls: [Sysctl] = []
    ) {
        self.family = family
        self.tables = tables
        self.jumps = jumps
        self.ownedChainPrefixes = ownedChainPrefixes
        self.keptChains = keptChains
        self.sysctls = sysctls
    }

    /// The same without the rules that look something up in one of these sets.
    public func leavingOut(sets names: [String]) -> IPTablesBatch {
        guard !names.isEmpty else { return self }
        let matches = names.map { Array("--match-set \($0) ".utf8) }
        var batch = self
        for index in batch.tables.indices {
            let lines = batch.tables[index].text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            let kept = lines.filter { line in !matches.contains { line.contains($0) } }
            batch.tables[index].text = Array(kept.joined(separator: [UInt8(ascii: "\n")]))
        }
        return batch
    }

    /// The whole input for iptables-restore, as golden files have it: without jumps.
    public var text: [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(tables.reduce(0) { $0 + $1.text.count })
        for table in tables { text += table.text }
        return text
    }
}

/// A rule of a built-in chain that leads to a chain of ours.
public struct IPTablesJump: Hashable, Sendable {
    public var table: IPTablesBatch.TableName
    /// A built-in chain: `INPUT`, `PREROUTING` and so on.
    public var chain: String
    /// The matches as iptables-restore reads them, such as `-m conntrack --ctstate NEW`; empty if there are none.
    public var matches: String
    /// The chain jumped to.
    public var target: String

    public init(table: IPTablesBatch.TableName, chain: String, matches: String, target: String) {
        self.table = table
        self.chain = chain
        self.matches = matches
        self.target = target
    }
}
