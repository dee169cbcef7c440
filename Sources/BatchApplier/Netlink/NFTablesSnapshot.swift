package import ProxyCore

/// What nf_tables said about the top-level chains and the jumps of one family at one generation.
package struct NFTablesSnapshot: Hashable, Sendable {
    /// A table or a chain. The kernel never gives a handle twice while the table is there.
    package struct Object: Hashable, Sendable {
        package var handle: UInt64
        /// For a table the number of its chains, sets and objects; for a chain the number of its rules and of the
        /// rules that lead to it.
        package var use: UInt32
    }

    /// A rule that leads from one chain to another.
    package struct Jump: Hashable, Sendable {
        package var table: IPTablesBatch.TableName
        package var chain: String
        package var target: String
    }

    package var generation: UInt32
    package var tables: [IPTablesBatch.TableName: Object] = [:]
    package var chains: [NFTablesExpectation.Chain: Object] = [:]
    /// How many rules of the built-in chains lead from where to where.
    package var jumps: [Jump: Int] = [:]

    package init(generation: UInt32) {
        self.generation = generation
    }
}

/// Something of ours that is not there any more.
package enum NFTablesLoss: Hashable, Sendable, CustomStringConvertible {
    case table(IPTablesBatch.TableName)
    case chain(NFTablesExpectation.Chain)
    /// The chain is there, but its rules, or some of them, are not as we left them.
    case rules(NFTablesExpectation.Chain)
    case jump(IPTablesJump)

    package var description: String {
        switch self {
        case .table(let name): "table \(name.rawValue)"
        case .chain(let chain): "chain \(chain.name) of table \(chain.table.rawValue)"
        case .rules(let chain): "rules of chain \(chain.name) of table \(chain.table.rawValue)"
        case .jump(let jump): "jump from \(jump.chain) to \(jump.target) of table \(jump.table.rawValue)"
        }
    }
}

extension NFTablesSnapshot {
    /// What is missing of that which batches have put there, whatever was seen before. Sorted; where a table or a chain
    /// is missing, what was in it is not named.
    package func losses(of expected: NFTablesExpectation) -> [NFTablesLoss] {
        var losses: [NFTablesLoss] = expected.tables.filter { tables[$0] == nil }.map { .table($0) }
        for chain in expected.chains where tables[chain.table] != nil {
            guard let seen = chains[chain] else {
                losses.append(.chain(chain))
                continue
            }
            // Other chains of ours may lead there too: those rules are not known, and fewer are not noticed here.
            let leadingThere = jumps.reduce(0) {
                $1.key.table == chain.table && $1.key.target == chain.name ? $0 + $1.value : $0
            }
            if expected.chainsWithRules.contains(chain), Int(seen.use) <= leadingThere { losses.append(.rules(chain)) }
        }
        for jump in expected.jumps {
            guard chains[.init(table: jump.table, name: jump.target)] != nil else { continue }
            let key = Jump(table: jump.table, chain: jump.chain, target: jump.target)
            if jumps[key, default: 0] == 0 { losses.append(.jump(jump)) }
        }
        return losses.sorted { $0.description < $1.description }
    }

    /// The top-level chains that were made anew or whose rules have become more or fewer since an earlier snapshot.
    /// Sorted; chains that are gone are not named, and a jump put in or taken out changes its target too.
    package func changedChains(since earlier: NFTablesSnapshot) -> [NFTablesLoss] {
        chains.compactMap { chain, object in
            guard let before = earlier.chains[chain], before != object else { return nil }
            return .rules(chain)
        }.sorted { (left: NFTablesLoss, right: NFTablesLoss) in left.description < right.description }
    }

    /// The tables that chains or sets were added to or removed from, by anybody. One chain removed and another added
    /// are not noticed.
    package func tablesToSearch(since earlier: NFTablesSnapshot) -> [IPTablesBatch.TableName] {
        IPTablesBatch.TableName.allCases.filter { tables[$0] != nil && tables[$0] != earlier.tables[$0] }
    }
}
