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

    init(of input: IPTablesInput, before: IPTablesState, now: IPTablesState, variant: IPTablesVariant) {
        for change in input.changes.dropLast() {
            guard let former = before[change.name.rawValue], let present = now[change.name.rawValue] else { continue }
            append(change, former: former, present: present, variant)
        }
    }

    private mutating func append(
        _ change: IPTablesInput.TableChange, former: IPTablesState.Table, present: IPTablesState.Table,
        _ variant: IPTablesVariant
    ) {
        let touched = change.chains.sorted()
        let extraJumps = change.insertedJumps.filter { jump in
            let places = present[jump.chain]?.indexes(of: jump) ?? []
            return !places.isEmpty && places != former[jump.chain]?.indexes(of: jump)
        }
        let lostRules = change.removedRules.filter { removed in
            let text = removed.rule.text
            return present[removed.chain]?.indexes(of: text) != former[removed.chain]?.indexes(of: text)
        }
        let isChanged =
            !extraJumps.isEmpty || !lostRules.isEmpty
            || touched.contains { chain in
                former[chain]?.rules.map(\.text) != present[chain]?.rules.map(\.text)
                    || former[chain]?.policy != present[chain]?.policy
            }
        guard isChanged else { return }
        tables.append(change.name)
        bytes += "*\(change.name.rawValue)\n".utf8
        for chain in former.chains where chain.isBuiltIn && (variant == .legacy || change.chains.contains(chain.name)) {
            bytes += ":\(chain.name) \(chain.policy) \(chain.counters)\n".utf8
        }
        let chains = touched.filter { former[$0] != nil || present[$0] != nil }
        // The line of a chain that is not built in empties it, the line of a built-in one does not.
        for chain in chains where former[chain]?.isBuiltIn != true { bytes += ":\(chain) - [0:0]\n".utf8 }
        for chain in chains where former[chain]?.isBuiltIn == true { bytes += "-F \(chain)\n".utf8 }
        for jump in extraJumps { bytes += jump.line("-D") }
        for removed in lostRules.sorted(by: { $0.index < $1.index }) {
            bytes += removed.rule.insertion(into: removed.chain, at: removed.index + 1)
        }
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
