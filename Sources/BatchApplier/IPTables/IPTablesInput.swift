import ProxyCore

/// What one commit feeds to iptables-restore, and what it changes.
struct IPTablesInput {
    /// A rule of a chain that is not ours and loses it.
    struct RemovedRule: Hashable {
        var chain: String
        /// Its place among the chain's rules before the commit.
        var index: Int
        var rule: IPTablesState.Rule
    }

    /// What a commit changes in one table: all that there is to be put back.
    struct TableChange {
        var name: IPTablesBatch.TableName
        /// Every chain that is written, emptied or removed.
        var chains: Set<String>
        /// The jumps that are put into chains not among those.
        var insertedJumps: [IPTablesJump] = []
        /// What is taken out of chains not among those.
        var removedRules: [RemovedRule] = []
    }

    private(set) var text = InputText()
    /// In the order of commit.
    private(set) var changes: [TableChange] = []
    /// What ipvs mode has in built-in chains of table filter, where the batch puts iptables mode in its place.
    private var jumpsOfIPVS: [RemovedRule] = []
    private(set) var missingJumps: [IPTablesJump] = []
    private(set) var movedJumps: [IPTablesJump] = []
    private(set) var reducedJumps: [IPTablesJump] = []
    private(set) var removedChains: [String] = []
    private(set) var warnings: [String] = []

    var insertedJumps: [IPTablesJump] { changes.flatMap(\.insertedJumps) }

    /// A batch, with its jumps mended and without the chains that are stale.
    ///
    /// - Parameter before: the tables as they are, as far as the batch needs them.
    init(_ batch: IPTablesBatch, before: IPTablesState, variant: IPTablesVariant) {
        precondition(Set(batch.tables.map(\.name)).count == batch.tables.count, "a table is there once")
        var tables = batch.tables
        if batch.replacesIPVS(before) {
            // Packets that its virtual servers still take would be dropped by what guards load-balancer IPs here, which
            // all others have left behind when they come to table filter.
            tables.sort { $0.name == .nat && $1.name != .nat }
            jumpsOfIPVS = Self.jumpsOfIPVS(before)
        }
        for table in tables { append(table, of: batch, before[table.name.rawValue], variant) }
        // Nothing comes after the last table that could be refused: it is never put back.
        if !changes.isEmpty { changes[changes.count - 1].chains = [] }
    }

    /// The removal of all that is ours.
    init(_ cleanup: IPTablesCleanup, before: IPTablesState, variant: IPTablesVariant) {
        for table in cleanup.tables where table.hasWork {
            guard let former = before[table.name.rawValue] else { continue }
            text += "*\(table.name.rawValue)\n".utf8
            appendBuiltInCounters(former, except: [], variant)
            // All are emptied before one is removed, as they lead to each other.
            for chain in table.chains { text += ":\(chain.name) - [0:0]\n".utf8 }
            for jump in table.removedJumps { text += jump.rule.deletion(from: jump.chain) }
            for chain in table.chains where !chain.isKept { text += "-X \(chain.name)\n".utf8 }
            text += "COMMIT\n".utf8
            changes.append(
                TableChange(
                    name: table.name, chains: Set(table.chains.map(\.name)), removedRules: table.removedJumps))
        }
    }

    private mutating func append(
        _ table: IPTablesBatch.Table, of batch: IPTablesBatch, _ before: IPTablesState.Table?,
        _ variant: IPTablesVariant
    ) {
        var parts = IPTablesTableText(table)
        var change = TableChange(name: table.name, chains: parts.touchedChains())
        text.append(sharing: parts.head)
        if let before {
            let declared = parts.declaredChains
            appendBuiltInCounters(before, except: declared, variant)
            let stale = staleChains(
                of: before, prefixes: batch.ownedChainPrefixes, declared: declared.union(batch.keptChains))
            for chain in stale.unused + stale.used { text += ":\(chain) - [0:0]\n".utf8 }
            let mending = IPTablesJumpMending(batch.jumps.filter { $0.table == table.name }, before: before)
            // In IPv6 nothing but the jumps to it names KUBE-FIREWALL, and it may be there with rules of the kubelet.
            let targets = Set(mending.missing.map(\.target)).filter { !declared.contains($0) && before[$0] == nil }
            for chain in targets.sorted() { text += ":\(chain) - [0:0]\n".utf8 }
            text += mending.lines
            missingJumps += mending.missing
            movedJumps += mending.moved
            reducedJumps += mending.reduced
            change.chains.formUnion(targets.union(stale.unused + stale.used))
            change.insertedJumps = mending.inserted.filter { !change.chains.contains($0.chain) }
            var removed = mending.removed
            if table.name == .filter {
                for jump in jumpsOfIPVS { text += jump.rule.deletion(from: jump.chain) }
                removed += jumpsOfIPVS
            }
            change.removedRules = removed.filter { !change.chains.contains($0.chain) }
            text.append(sharing: parts.rules)
            for chain in stale.unused { text += "-X \(chain)\n".utf8 }
            removedChains += stale.unused
            warnings += stale.used.map {
                "The stale chain \($0) of table \(before.name) was emptied but not removed, as a rule of another "
                    + "program leads to it."
            }
        } else {
            text.append(sharing: parts.rules)
        }
        text += "COMMIT\n".utf8
        changes.append(change)
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
            text += ":\(chain.name) \(chain.policy) \(chain.counters)\n".utf8
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

extension IPTablesInput {
    /// The jumps to chains of both modes that only ipvs mode writes.
    fileprivate static func jumpsOfIPVS(_ before: IPTablesState) -> [RemovedRule] {
        let table = before[IPTablesBatch.TableName.filter.rawValue]
        return (table?.chains ?? []).filter(\.isBuiltIn).flatMap { chain in
            chain.rules.enumerated().filter { _, rule in
                let clauses = RuleClauses(rule)
                return OwnedChains.isJump(clauses) && OwnedChains.mode(ofJump: clauses) == .ipvs
            }.map { RemovedRule(chain: chain.name, index: $0, rule: $1) }
        }
    }
}

extension IPTablesBatch {
    /// True if this is of iptables mode and writes KUBE-SERVICES of table nat, where ipvs mode serves.
    fileprivate func replacesIPVS(_ before: IPTablesState) -> Bool {
        jumps.contains { $0.target == "KUBE-NODEPORTS" } && tables.contains { $0.name == .nat }
            && before.servingMode == .ipvs
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
    private(set) lazy var declaredChains: Set<String> = {
        var names: Set<String> = []
        Self.forEachLine(of: head) { line in
            guard line.first == UInt8(ascii: ":") else { return }
            names.insert(String(decoding: line.dropFirst().prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self))
        }
        return names
    }()

    /// The chains that the text changes: those that it declares and those that its rules are added to.
    mutating func touchedChains() -> Set<String> {
        var names = declaredChains
        Self.forEachLine(of: rules) { line in
            let words = line.split(separator: UInt8(ascii: " "), maxSplits: 3)
            // Counters may come before the command.
            guard let command = words.firstIndex(where: { $0.first == UInt8(ascii: "-") }), command < 2,
                words.count > command + 1
            else { return }
            names.insert(String(decoding: words[command + 1], as: UTF8.self))
        }
        return names
    }

    /// One line after the other: half a million of them at once are tens of megabytes of slices.
    private static func forEachLine(of text: ArraySlice<UInt8>, _ body: (ArraySlice<UInt8>) -> Void) {
        var rest = text
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.endIndex
            body(rest[..<end])
            rest = rest[end...].dropFirst()
        }
    }
}

extension IPTablesJump {
    /// The line that inserts (`-I`) or deletes (`-D`) this jump.
    ///
    /// - Parameter number: where it is inserted, counted from 1; first if nil.
    func line(_ command: StaticString, at number: Int? = nil) -> [UInt8] {
        let place = number.map { " \($0)" } ?? ""
        let words = matches.isEmpty ? "" : matches + " "
        return Array("\(command) \(chain)\(place) \(words)-j \(target)\n".utf8)
    }
}
