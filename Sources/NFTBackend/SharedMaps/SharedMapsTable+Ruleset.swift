import ProxyCore

// Everything that is wanted: for an empty kernel, and to look at.
extension SharedMapsTable {
    /// The wanted table and its elements.
    ///
    /// Equal plans give equal tables, apart from the ids of affinity, which depend on what was before.
    public func ruleset() -> (table: NFTTable, elements: [NFTElement]) {
        let (table, elements) = orderedRuleset()
        return (table, Array(elements.lists.joined()))
    }

    private func orderedRuleset() -> (table: NFTTable, elements: ElementLists) {
        let names = entries.keys.sorted()
        let table = structure(names)
        var elements = ElementLists(table.sets)
        elements.add(settings.elements)
        var seenIPs: Set<IPAddress> = []
        var seenHairpins: Set<Hairpin> = []
        var changes = ElementChanges()
        for name in names {
            guard let entry = entries[name] else { continue }
            if seenIPs.insert(entry.plan.clusterIP).inserted { elements.add([Self.element(entry.plan.clusterIP)]) }
            elements.add(entry.hairpins.filter { seenHairpins.insert($0).inserted }.map(\.element))
            for (door, content) in entry.doors(settings.options) {
                let rivals = claims[door]
                guard rivals.last == name else { continue }
                let whole = rivals.count == 1 ? content : self.content(of: door, for: rivals)
                DoorContent.change(DoorContent(), whole, at: door, &changes)
                elements.add(changes.added)
                changes.added.removeAll(keepingCapacity: true)
            }
            elements.add(entry.affinityElements)
        }
        return (table, elements)
    }

    /// The wanted table without its elements.
    var structure: NFTTable { structure(entries.keys.sorted()) }

    private func structure(_ names: [ServicePortName]) -> NFTTable {
        NFTTable(settings.identity, chains: settings.chains + wantedChains(names), sets: settings.sets)
    }

    /// What the service ports have together under a door: the last one's, map by map.
    private func content(of door: Door, for names: [ServicePortName]) -> DoorContent {
        names.reduce(into: DoorContent()) { whole, name in
            if let content = content(of: door, name) { whole.override(by: content) }
        }
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
    public func fullTransaction() -> NFTTransaction {
        let (table, elements) = orderedRuleset()
        var steps: [NFTChange] = [
            .addTable, .deleteTable(name: SharedMapsName.table), .addTable,
            .addOtherTable(name: SharedMapsName.kubeProxyTable), .deleteTable(name: SharedMapsName.kubeProxyTable),
        ]
        steps += table.chains.map { .addChain(NFTChain(name: $0.name, hook: $0.hook)) }
        steps += table.sets.map(NFTChange.addSet)
        if settings.options.perServiceCounters {
            steps += entries.keys.sorted().map { .addCounter(SharedMapsName.counter($0)) }
        }
        for chain in table.chains { steps += chain.rules.map { .addRule($0, chain: chain.name) } }
        // One by one, as there are hundreds of thousands and each array of them would be filled and emptied again.
        steps.reserveCapacity(steps.count + elements.count)
        for list in elements.lists { for element in list { steps.append(.addElement(element)) } }
        return NFTTransaction(settings.identity, steps)
    }
}

/// Elements set by set, in the order of a table's sets.
private struct ElementLists {
    private(set) var lists: [[NFTElement]]
    private(set) var count = 0
    private let places: [String: Int]
    /// The place of the set that the last element belongs to: those of one set mostly follow each other.
    private var last: (set: String, place: Int)?

    init(_ sets: [NFTSet]) {
        lists = Array(repeating: [], count: sets.count)
        places = Dictionary(sets.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Adds those of sets that the table has.
    mutating func add(_ elements: [NFTElement]) {
        for element in elements {
            if last?.set != element.set { last = places[element.set].map { (element.set, $0) } }
            guard let last else { continue }
            lists[last.place].append(element)
            count += 1
        }
    }
}
