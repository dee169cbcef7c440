import ProxyCore

// Everything that is wanted: for an empty kernel, and to look at.
extension SharedMapsTable {
    /// The wanted table and its elements.
    ///
    /// Equal plans give equal tables, apart from the ids of affinity, which depend on what was before.
    public func ruleset() -> (table: NFTTable, elements: [NFTElement]) {
        let table = structure
        var elements: [String: [NFTElement]] = [:]
        forEachElement { elements[$0.set, default: []].append($0) }
        return (table, table.sets.flatMap { elements.removeValue(forKey: $0.name) ?? [] })
    }

    /// Hands out every wanted element: those of one set in the order of the services' names, but sets mixed.
    func forEachElement(_ body: (NFTElement) -> Void) {
        forEachAddition { $0.forEachElement(body) }
    }

    private func forEachAddition(_ body: (NFTAddition) -> Void) {
        for element in settings.elements { body(.element(element)) }
        var seenIPs: Set<IPAddress> = []
        var seenHairpins: Set<Hairpin> = []
        for name in entries.keys.sorted() {
            guard let entry = entries[name] else { continue }
            if seenIPs.insert(entry.plan.clusterIP).inserted { body(.element(Self.element(entry.plan.clusterIP))) }
            for hairpin in entry.hairpins where seenHairpins.insert(hairpin).inserted {
                body(.element(hairpin.element))
            }
            for (door, content) in entry.doors(settings.options) {
                let rivals = claims[door]
                guard rivals.last == name else { continue }
                let whole = rivals.count == 1 ? content : self.content(of: door, for: rivals)
                whole.forEachAddition(at: door, body)
            }
            for element in entry.affinityElements { body(.element(element)) }
        }
    }

    /// The wanted table without its elements.
    var structure: NFTTable {
        NFTTable(
            settings.identity, chains: settings.chains + wantedChains, sets: settings.sets)
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

    private var wantedChains: [NFTChain] {
        let shared = kinds.things.map { ($0.name, $0) }.sorted { $0.0 < $1.0 }.map { $0.1.chain(settings.node) }
        let own = entries.filter { $0.value.ids != nil }.sorted { $0.key < $1.key }
        return shared + own.flatMap { $0.value.chains(settings.node) }
    }

    static func element(_ clusterIP: IPAddress) -> NFTElement {
        NFTElement(set: SharedMapsName.clusterIPs, key: [.address(clusterIP)])
    }

    /// Everything that is wanted, in place of whatever is there: our table and kube-proxy's are deleted in the
    /// transaction that adds ours. What clients were remembered for services with affinity is forgotten.
    ///
    /// `nextTransaction` gives it where nothing is known of the kernel; only then may it be followed by `didCommit`.
    public func fullTransaction() -> NFTTransaction { transaction(Self.removal) }

    /// What takes away whatever is there.
    static let removal: [NFTChange] = [.addTable, .deleteTable(name: SharedMapsName.table)]

    /// Everything that is wanted.
    ///
    /// - Parameters:
    ///   - removal: the steps that take away what is in the way.
    ///   - kept: the names of the sets and counters that stay.
    ///   - counters: what the others go on from.
    func transaction(
        _ removal: [NFTChange], keeping kept: Set<String> = [], counters: [String: NFTCounter] = [:]
    ) -> NFTTransaction {
        let table = structure
        var steps =
            removal + [
                .addTable, .addOtherTable(name: SharedMapsName.kubeProxyTable),
                .deleteTable(name: SharedMapsName.kubeProxyTable),
            ]
        steps += table.chains.map { .addChain(NFTChain(name: $0.name, hook: $0.hook)) }
        steps += table.sets.filter { !kept.contains($0.name) }.map(NFTChange.addSet)
        steps += counterNames.filter { !kept.contains($0) }.map { .addCounter(counters[$0] ?? NFTCounter(name: $0)) }
        for chain in table.chains { steps += chain.rules.map { .addRule($0, chain: chain.name) } }
        return NFTTransaction(settings.identity, steps) { [self] in forEachAddition($0) }
    }
}
