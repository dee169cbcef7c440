import Glibc
package import ProxyCore

/// What batches have put into the tables of one family that every service depends on: the top-level chains, those of
/// them that have rules, and the jumps.
///
/// Chains of a service are not in it, so that its size does not grow with the cluster.
package struct NFTablesExpectation: Hashable, Sendable {
    /// A chain of a table.
    package struct Chain: Hashable, Sendable {
        package var table: IPTablesBatch.TableName
        package var name: String

        package init(table: IPTablesBatch.TableName, name: String) {
            self.table = table
            self.name = name
        }
    }

    package let family: IPFamily
    package private(set) var tables: Set<IPTablesBatch.TableName> = []
    package private(set) var chains: Set<Chain> = []
    /// Those of the chains that batches have written rules into.
    package private(set) var chainsWithRules: Set<Chain> = []
    package private(set) var jumps: [IPTablesJump] = []

    package init(family: IPFamily) {
        self.family = family
    }

    /// Takes over what a batch of the same family has committed.
    ///
    /// A batch replaces the chains that it declares, jumps are only ever added, and targets that it does not declare
    /// are made without rules where they are missing.
    package mutating func add(_ batch: IPTablesBatch) {
        precondition(batch.family == family, "a batch is for its own family")
        for table in batch.tables {
            tables.insert(table.name)
            let declared = Self.topLevelChains(in: table.text)
            let chains = declared.names.map { Chain(table: table.name, name: $0) }
            self.chains.formUnion(chains)
            chainsWithRules.subtract(chains)
            chainsWithRules.formUnion(declared.namesWithRules.map { Chain(table: table.name, name: $0) })
        }
        for jump in batch.jumps where batch.tables.contains(where: { $0.name == jump.table }) {
            if !jumps.contains(jump) { jumps.append(jump) }
            chains.insert(Chain(table: jump.table, name: jump.target))
        }
    }

    private static let topLevelNames = IPTablesChainNames.shared.union([IPTablesChainNames.loopbackGuard])
    /// The names of services' chains are longer, and not looked at.
    private static let longestName = topLevelNames.reduce(0) { max($0, $1.utf8.count) }

    /// The top-level chains that a table's text declares, and those that it has rules for.
    private static func topLevelChains(in text: [UInt8]) -> (names: Set<String>, namesWithRules: Set<String>) {
        var names: Set<String> = []
        var namesWithRules: Set<String> = []
        text.withUnsafeBytes { bytes in
            var start = 0
            while start < bytes.count {
                let isRule = bytes[start] == UInt8(ascii: "-") && bytes[start...].starts(with: "-A ".utf8)
                if isRule || bytes[start] == UInt8(ascii: ":") {
                    let name = bytes[start...].dropFirst(isRule ? 3 : 1).prefix(longestName + 1)
                        .prefix { $0 != UInt8(ascii: " ") }
                    // Most lines are about chains of services, and a full batch has hundreds of thousands of lines.
                    if name.count <= longestName {
                        let name = String(decoding: name, as: UTF8.self)
                        if topLevelNames.contains(name) {
                            if isRule { namesWithRules.insert(name) } else { names.insert(name) }
                        }
                    }
                }
                guard let line = bytes.baseAddress?.advanced(by: start),
                    let end = memchr(line, Int32(UInt8(ascii: "\n")), bytes.count - start)
                else { break }
                start += line.distance(to: UnsafeRawPointer(end)) + 1
            }
        }
        return (names, namesWithRules)
    }
}
