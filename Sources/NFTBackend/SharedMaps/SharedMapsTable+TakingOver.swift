import ProxyCore

// What an earlier run has left in the kernel, and what of it goes on.
extension SharedMapsTable {
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

    /// Everything that is wanted in place of what an earlier run has left, in one transaction: only what clients are
    /// remembered for stays. Without a table that could be taken over, `fullTransaction`.
    ///
    /// - Parameter found: the table as it is, with whose ids this one has been made (`adoptIDs`).
    func transaction(replacing found: NFTKernelTable?) -> NFTTransaction {
        let full = fullTransaction()
        guard let found, let old = found.sets.first(where: { $0.name == SharedMapsName.affinity }) else { return full }
        let wanted = NFTKernelTable(compiling: structure, elements: [])
        guard let new = wanted.sets.first(where: { $0.name == SharedMapsName.affinity }), old.hasSameShape(as: new)
        else { return full }
        // Rules name sets, and elements name chains: so rules go first, then sets, then chains.
        var steps = found.chains.map { NFTChange.flushChain($0.name) }
        steps += found.sets.filter { !$0.isAnonymous && $0.name != SharedMapsName.affinity }.map {
            .deleteSet($0.name)
        }
        steps += found.chains.map { .deleteChain($0.name) }
        steps += found.counters.map { .deleteCounter($0) }
        // Without the removal of the table at its beginning, and without that of the set.
        let rest = full.changes.filter { change in
            switch change {
            case .deleteTable(SharedMapsName.table): false
            case .addSet(let set): set.name != SharedMapsName.affinity
            default: true
            }
        }
        return NFTTransaction(full.table, steps + rest)
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
