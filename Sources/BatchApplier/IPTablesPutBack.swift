import ProxyCore

/// What undoes the commit of tables that came before a refused one.
///
/// A restore program commits table by table. Everything that a batch changes in a table is known: the chains that
/// its text touches, the stale chains and the jumps. So only those are put back, from what was read before, and
/// foreign rules are not written at all.
///
/// ip6tables-nft-restore 1.8.9 ignores the counters of rules that it is given, with `--counters` too;
/// iptables-nft-restore does not. So there, and only there, the counters of rules that are put back start at zero.
struct IPTablesPutBack {
    private(set) var bytes: [UInt8] = []
    private(set) var tables: [IPTablesBatch.TableName] = []

    init(
        of input: IPTablesInput, _ batch: IPTablesBatch, before: IPTablesState, now: IPTablesState,
        variant: IPTablesVariant
    ) {
        for table in batch.tables.dropLast() {
            guard let former = before[table.name.rawValue], let present = now[table.name.rawValue] else { continue }
            let touched = IPTablesTableText(table).touchedChains.union(input.otherChains[table.name] ?? [])
            let jumps = input.insertedJumps.filter { $0.table == table.name && !touched.contains($0.chain) }
            append(table.name, touched.sorted(), jumps, former: former, present: present, variant)
        }
    }

    private mutating func append(
        _ name: IPTablesBatch.TableName, _ touched: [String], _ jumps: [IPTablesJump], former: IPTablesState.Table,
        present: IPTablesState.Table, _ variant: IPTablesVariant
    ) {
        let extraJumps = jumps.filter { jump in
            (present[jump.chain]?.count(of: jump) ?? 0) > (former[jump.chain]?.count(of: jump) ?? 0)
        }
        let isChanged =
            !extraJumps.isEmpty
            || touched.contains { chain in
                former[chain]?.rules.map(\.text) != present[chain]?.rules.map(\.text)
                    || former[chain]?.policy != present[chain]?.policy
            }
        guard isChanged else { return }
        tables.append(name)
        bytes += "*\(name.rawValue)\n".utf8
        for chain in former.chains where chain.isBuiltIn && (variant == .legacy || touched.contains(chain.name)) {
            bytes += ":\(chain.name) \(chain.policy) \(chain.counters)\n".utf8
        }
        let chains = touched.filter { former[$0] != nil || present[$0] != nil }
        // The line of a chain that is not built in empties it, the line of a built-in one does not.
        for chain in chains where former[chain]?.isBuiltIn != true { bytes += ":\(chain) - [0:0]\n".utf8 }
        for chain in chains where former[chain]?.isBuiltIn == true { bytes += "-F \(chain)\n".utf8 }
        for jump in extraJumps { bytes += jump.line("-D") }
        for chain in chains {
            for rule in former[chain]?.rules ?? [] {
                if let counters = rule.counters { bytes += "\(counters) ".utf8 }
                bytes += rule.text
                bytes.append(UInt8(ascii: "\n"))
            }
        }
        for chain in chains where former[chain] == nil { bytes += "-X \(chain)\n".utf8 }
        bytes += "COMMIT\n".utf8
    }
}
