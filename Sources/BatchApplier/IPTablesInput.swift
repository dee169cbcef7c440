import ProxyCore

/// What one commit feeds to iptables-restore: a batch, with the jumps that are missing and without the chains that
/// are stale.
struct IPTablesInput {
    private(set) var bytes: [UInt8] = []
    private(set) var insertedJumps: [IPTablesJump] = []
    private(set) var removedChains: [String] = []
    /// The chains that are changed beside those of the batch's text: stale ones, and targets of jumps that are made.
    private(set) var otherChains: [IPTablesBatch.TableName: Set<String>] = [:]
    private(set) var warnings: [String] = []

    /// - Parameter before: the tables as they are, as far as the batch needs them.
    init(_ batch: IPTablesBatch, before: IPTablesState, variant: IPTablesVariant) {
        precondition(Set(batch.tables.map(\.name)).count == batch.tables.count, "a table is there once")
        bytes.reserveCapacity(batch.tables.reduce(0) { $0 + $1.text.count } + 4096)
        for table in batch.tables { append(table, of: batch, before[table.name.rawValue], variant) }
    }

    private mutating func append(
        _ table: IPTablesBatch.Table, of batch: IPTablesBatch, _ before: IPTablesState.Table?,
        _ variant: IPTablesVariant
    ) {
        let parts = IPTablesTableText(table)
        let declared = parts.declaredChains
        bytes += parts.head
        if let before {
            appendBuiltInCounters(before, except: declared, variant)
            let stale = staleChains(
                of: before, prefixes: batch.ownedChainPrefixes, declared: declared.union(batch.keptChains))
            for chain in stale.unused + stale.used { bytes += ":\(chain) - [0:0]\n".utf8 }
            let missing = batch.jumps.filter { jump in
                jump.table == table.name && (before[jump.chain]?.count(of: jump) ?? 0) == 0
            }
            // In IPv6 nothing but the jumps to it names KUBE-FIREWALL, and it may be there with rules of the kubelet.
            let targets = Set(missing.map(\.target)).filter { !declared.contains($0) && before[$0] == nil }
            for chain in targets.sorted() { bytes += ":\(chain) - [0:0]\n".utf8 }
            for jump in missing { bytes += jump.line("-I") }
            insertedJumps += missing
            otherChains[table.name] = targets.union(stale.unused + stale.used)
            bytes += parts.rules
            for chain in stale.unused { bytes += "-X \(chain)\n".utf8 }
            removedChains += stale.unused
            warnings += stale.used.map {
                "The stale chain \($0) of table \(before.name) was emptied but not removed, as a rule of another "
                    + "program leads to it."
            }
        } else {
            bytes += parts.rules
        }
        bytes += "COMMIT\n".utf8
    }

    /// Declares the built-in chains with the counters that they have.
    ///
    /// iptables-legacy-restore sets the counters of all built-in chains to zero at any commit, and keeps those
    /// that are declared. iptables-nft-restore leaves them alone. Nobody changes a policy in between, as the lock is
    /// held from the reading on.
    private mutating func appendBuiltInCounters(
        _ before: IPTablesState.Table, except declared: Set<String>, _ variant: IPTablesVariant
    ) {
        guard variant == .legacy else { return }
        for chain in before.chains where chain.isBuiltIn && !declared.contains(chain.name) {
            guard chain.counters.packets > 0 else { continue }
            bytes += ":\(chain.name) \(chain.policy) \(chain.counters)\n".utf8
        }
    }

    /// The chains of ours that the batch does not declare: those that nobody else uses, and those that a rule of a
    /// foreign chain leads to and that therefore cannot be removed.
    private func staleChains(
        of table: IPTablesState.Table, prefixes: [String], declared: Set<String>
    ) -> (unused: [String], used: [String]) {
        let stale = table.chains.map(\.name).filter { name in
            !declared.contains(name) && prefixes.contains { name.hasPrefix($0) }
        }
        guard !stale.isEmpty else { return ([], []) }
        let staleSet = Set(stale)
        var used: Set<String> = []
        for chain in table.chains where !declared.contains(chain.name) && !staleSet.contains(chain.name) {
            for rule in chain.rules {
                guard let target = rule.target.map({ String(decoding: $0, as: UTF8.self) }) else { continue }
                if staleSet.contains(target) { used.insert(target) }
            }
        }
        return (stale.filter { !used.contains($0) }, stale.filter { used.contains($0) })
    }
}

/// The parts of one table's text in a batch.
struct IPTablesTableText {
    /// The table's line and the chain lines that follow it.
    let head: ArraySlice<UInt8>
    /// What follows, up to COMMIT.
    let rules: ArraySlice<UInt8>

    init(_ table: IPTablesBatch.Table) {
        let text = table.text
        precondition(text.starts(with: "*\(table.name.rawValue)\n".utf8), "a table begins with its name")
        let commit = Array("COMMIT\n".utf8)
        precondition(text.suffix(commit.count).elementsEqual(commit), "a table ends with COMMIT")
        let end = text.count - commit.count
        var index = 0
        while index < end, [UInt8(ascii: "*"), UInt8(ascii: ":"), UInt8(ascii: "#")].contains(text[index]) {
            index = (text[index..<end].firstIndex(of: UInt8(ascii: "\n")) ?? end - 1) + 1
        }
        head = text[..<index]
        rules = text[index..<end]
    }

    /// The chains that the text replaces.
    var declaredChains: Set<String> {
        var names: Set<String> = []
        for line in head.split(separator: UInt8(ascii: "\n")) where line.first == UInt8(ascii: ":") {
            names.insert(String(decoding: line.dropFirst().prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self))
        }
        return names
    }

    /// The chains that the text changes: those that it declares and those that its rules are added to.
    var touchedChains: Set<String> {
        var names = declaredChains
        for line in rules.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "), maxSplits: 3)
            // Counters may come before the command.
            guard let command = words.firstIndex(where: { $0.first == UInt8(ascii: "-") }), command < 2,
                words.count > command + 1
            else { continue }
            names.insert(String(decoding: words[command + 1], as: UTF8.self))
        }
        return names
    }
}

extension IPTablesJump {
    /// The line that inserts (`-I`) or deletes (`-D`) this jump.
    func line(_ command: StaticString) -> [UInt8] {
        let words = matches.isEmpty ? "" : matches + " "
        return Array("\(command) \(chain) \(words)-j \(target)\n".utf8)
    }
}
