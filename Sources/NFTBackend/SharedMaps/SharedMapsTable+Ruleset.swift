import ProxyCore

// Everything that is wanted: for an empty kernel, and to look at.
extension SharedMapsTable {
    /// The wanted table and its elements.
    ///
    /// Equal plans give equal tables, apart from the ids of affinity, which depend on what was before.
    public func ruleset() -> (table: NFTTable, elements: [NFTElement]) {
        let names = entries.keys.sorted()
        let table = structure
        let sets = table.sets
        var elements: [String: [NFTElement]] = [:]
        func add(_ new: some Sequence<NFTElement>) {
            for element in new { elements[element.set, default: []].append(element) }
        }
        add(settings.elements)
        var seenIPs: Set<IPAddress> = []
        var seenHairpins: Set<Hairpin> = []
        for name in names {
            guard let entry = entries[name] else { continue }
            if seenIPs.insert(entry.plan.clusterIP).inserted { add([Self.element(entry.plan.clusterIP)]) }
            add(entry.hairpins.filter { seenHairpins.insert($0).inserted }.map(\.element))
            for (door, content) in entry.doors(settings.options) {
                let rivals = claims[door]
                guard rivals.last == name else { continue }
                var changes = ElementChanges()
                let whole = rivals.count == 1 ? content : self.content(of: door, for: rivals)
                DoorContent.change(DoorContent(), whole, at: door, &changes)
                add(changes.added)
            }
            add(entry.affinityElements)
        }
        return (table, sets.flatMap { elements[$0.name] ?? [] })
    }

    /// The wanted table without its elements.
    var structure: NFTTable {
        NFTTable(
            settings.identity, chains: settings.chains + wantedChains(entries.keys.sorted()), sets: settings.sets)
    }

    /// What the service ports have together under a door: the last one's, map by map.
    private func content(of door: Door, for names: [ServicePortName]) -> DoorContent {
        names.reduce(into: DoorContent()) { whole, name in
            if let content = content(of: door, name) { whole.override(by: content) }
        }
    }

    /// The counters that are wanted, in the order of their service ports.
    public var counterNames: [String] {
        settings.options.perServiceCounters ? entries.keys.sorted().map(SharedMapsName.counter) : []
    }

    func content(of door: Door, _ name: ServicePortName) -> DoorContent? {
        entries[name]?.doors(settings.options).first { $0.door == door }?.content
    }

    private func wantedChains(_ names: [ServicePortName]) -> [NFTChain] {
        kinds.things.map { ($0.name, $0) }.sorted { $0.0 < $1.0 }.map { $0.1.chain(settings.node) }
            + names.flatMap { entries[$0]?.chains(settings.node) ?? [] }
    }

    static func element(_ clusterIP: IPAddress) -> NFTElement {
        NFTElement(set: SharedMapsName.clusterIPs, key: [.address(clusterIP)])
    }

    /// Everything that is wanted, in place of whatever is there: our table and kube-proxy's are deleted in the
    /// transaction that adds ours. What clients were remembered for services with affinity is forgotten.
    ///
    /// `nextTransaction` gives it where nothing is known of the kernel; only then may it be followed by `didCommit`.
    public func fullTransaction() -> NFTTransaction { fullTransaction(counters: [:]) }

    /// - Parameter counters: what counters go on from.
    func fullTransaction(counters: [String: NFTCounter]) -> NFTTransaction {
        let (table, elements) = ruleset()
        var steps: [NFTChange] = [
            .addTable, .deleteTable(name: SharedMapsName.table), .addTable,
            .addOtherTable(name: SharedMapsName.kubeProxyTable), .deleteTable(name: SharedMapsName.kubeProxyTable),
        ]
        steps += table.chains.map { .addChain(NFTChain(name: $0.name, hook: $0.hook)) }
        steps += table.sets.map(NFTChange.addSet)
        steps += counterNames.map { .addCounter(counters[$0] ?? NFTCounter(name: $0)) }
        for chain in table.chains { steps += chain.rules.map { .addRule($0, chain: chain.name) } }
        steps += elements.map(NFTChange.addElement)
        return NFTTransaction(settings.identity, steps)
    }
}
