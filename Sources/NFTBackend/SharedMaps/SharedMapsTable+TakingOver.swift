import ProxyCore

// What an earlier run has left in the kernel, and what of it goes on.
extension SharedMapsTable {
    /// The sets whose elements matter to `takeOver` and `adoptIDs`.
    public static let setsTakenOver: Set<String> = [
        SharedMapsName.picks, SharedMapsName.endpointIDs(.cluster), SharedMapsName.endpointIDs(.local),
        SharedMapsName.affinity,
    ]

    /// Takes over the ids that a table in the kernel has for the endpoints of services with affinity, so that what
    /// clients are remembered for still holds. To be called before anything is committed.
    public mutating func adoptIDs(from found: NFTKernelTable) {
        let known = FoundAffinityIDs(found)
        ids.forgetAll()
        for id in known.all { ids.didFind(id) }
        // No two services may share an id, whoever wrote the table.
        var taken: Set<AffinityID> = []
        for name in entries.keys.sorted() {
            guard let entry = entries[name], entry.ids != nil else { continue }
            let found = entry.chains(settings.node).lazy.compactMap { known.service(ofChain: $0.name) }.first
            let service = found.flatMap { taken.insert($0).inserted ? $0 : nil }
            let endpoints = service.map(known.endpoints) ?? [:]
            entries[name] = ServiceEntry(
                plan: entry.plan,
                ids: ids.ids(
                    of: entry.plan, service: service, endpoints: endpoints.filter { taken.insert($0.value).inserted }))
        }
        if ids.isExhausted { renumber() }
    }

    /// Everything that is wanted in place of what is there, in one transaction: only what clients are remembered for,
    /// and the counters that are still wanted, stay. Without anything that could, or where the kernel has refused that,
    /// the table is deleted as a whole, and counters go on from what they had when it was read.
    ///
    /// - Parameter predecessor: the table as it is; if clients are kept, the one with whose ids this one has been made
    ///   (`adoptIDs`).
    /// - Returns: the transaction, and whether it leaves something in place.
    func transaction(replacing predecessor: Predecessor?) -> (NFTTransaction, isReplacement: Bool) {
        guard let predecessor else { return (fullTransaction(), false) }
        let found = predecessor.table
        let counters = Dictionary(found.counters.map { ($0.name, $0) }) { first, _ in first }
        var kept = Set(counterNames).intersection(counters.keys)
        if predecessor.keepsClients, remembersClients(found) { kept.insert(SharedMapsName.affinity) }
        guard !kept.isEmpty, !isReplacementRefused else {
            return (transaction(Self.removal, counters: counters), false)
        }
        // Rules name sets, and elements name chains: so rules go first, then sets, then chains.
        var removal = found.chains.map { NFTChange.flushChain($0.name) }
        removal += found.sets.filter { !$0.isAnonymous && !kept.contains($0.name) }.map { .deleteSet($0.name) }
        removal += found.chains.map { .deleteChain($0.name) }
        removal += found.counters.filter { !kept.contains($0.name) }.map { .deleteCounter($0.name) }
        return (transaction(removal, keeping: kept), true)
    }

    /// False where there is nothing to keep: what deletes the table as a whole is refused by nobody's changes to it.
    private func remembersClients(_ found: NFTKernelTable) -> Bool {
        guard let old = found.sets.first(where: { $0.name == SharedMapsName.affinity }), !old.elements.isEmpty,
            let new = settings.sets.first(where: { $0.name == SharedMapsName.affinity })
        else { return false }
        return old.hasSameShape(as: NFTKernelTable.Set(new, settings.node.family))
    }
}

/// The ids in a table of the kernel.
private struct FoundAffinityIDs {
    private var services: [String: AffinityID] = [:]
    private var picks: [AffinityID: [AffinityID]] = [:]
    private var targets: [AffinityID: NFTEndpoint] = [:]
    /// Those that clients are remembered with. Their service or endpoint can be gone, and given to another the id would
    /// lead these clients to it.
    private var remembered: Set<AffinityID> = []

    var all: Set<AffinityID> {
        remembered.union(services.values).union(picks.values.joined()).union(targets.keys)
    }

    init(_ table: NFTKernelTable) {
        for chain in table.chains {
            guard case .immediate(let bytes, _) = chain.rules.first?.expressions.first, let id = Self.id(bytes[...])
            else { continue }
            services[chain.name] = id
        }
        for set in table.sets {
            switch set.name {
            case SharedMapsName.picks:
                for element in set.elements {
                    // The index takes the last four bytes of the key.
                    guard case .bytes(let bytes) = element.datum, let id = Self.id(bytes[...]),
                        let service = Self.id(element.key.dropLast(4))
                    else { continue }
                    picks[service, default: []].append(id)
                }
            case SharedMapsName.endpointIDs(.cluster), SharedMapsName.endpointIDs(.local):
                for element in set.elements {
                    guard case .bytes(let bytes) = element.datum, let id = Self.id(element.key[...]), bytes.count > 4
                    else { continue }
                    let address = IPAddress(networkOrder: bytes.dropLast(4))
                    let port = UInt16(bytes[bytes.count - 4]) << 8 | UInt16(bytes[bytes.count - 3])
                    targets[id] = address.map { NFTEndpoint($0, port) }
                }
            case SharedMapsName.affinity:
                for element in set.elements {
                    // The second half of the key is the service's.
                    if let service = Self.id(element.key.suffix(element.key.count / 2)) { remembered.insert(service) }
                    if case .bytes(let bytes) = element.datum, let id = Self.id(bytes[...]) { remembered.insert(id) }
                }
            default: break
            }
        }
    }

    func service(ofChain name: String) -> AffinityID? { services[name] }

    func endpoints(of service: AffinityID) -> [NFTEndpoint: AffinityID] {
        var endpoints: [NFTEndpoint: AffinityID] = [:]
        for id in picks[service] ?? [] {
            if let target = targets[id] { endpoints[target] = id }
        }
        return endpoints
    }

    private static func id(_ bytes: ArraySlice<UInt8>) -> AffinityID? {
        IPAddress(networkOrder: bytes).flatMap(AffinityID.init)
    }
}

extension IPAddress {
    /// An address of 4 or 16 bytes.
    fileprivate init?(networkOrder bytes: ArraySlice<UInt8>) {
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self.init(ipv4: UInt32(truncatingIfNeeded: number(bytes)))
        case 16: self.init(high: number(bytes.prefix(8)), low: number(bytes.suffix(8)))
        default: return nil
        }
    }
}
