import ProxyCore

/// Which service ports want a door. Mostly one does; where several do, the last by name has it, map by map.
struct DoorClaims {
    private var owners: [Door: ServicePortName] = [:]
    /// All that want a door that several want.
    private var rivals: [Door: Set<ServicePortName>] = [:]

    mutating func add(_ name: ServicePortName, to door: Door) {
        guard let owner = owners[door] else {
            owners[door] = name
            return
        }
        guard owner != name else { return }
        rivals[door, default: [owner]].insert(name)
    }

    mutating func remove(_ name: ServicePortName, from door: Door) {
        guard var names = rivals[door] else {
            if owners[door] == name { owners[door] = nil }
            return
        }
        names.remove(name)
        owners[door] = names.first
        rivals[door] = names.count > 1 ? names : nil
    }

    /// In the order of names.
    subscript(door: Door) -> [ServicePortName] {
        if let names = rivals[door] { return names.sorted() }
        return owners[door].map { [$0] } ?? []
    }
}

/// How many service ports need each of some things: one that several need is in the kernel once.
struct UseCounts<Thing: Hashable & Sendable>: Sendable {
    private var counts: [Thing: Int] = [:]

    subscript(thing: Thing) -> Int { counts[thing] ?? 0 }

    mutating func add(_ things: some Sequence<Thing>, _ times: Int) {
        for thing in things {
            let count = self[thing] + times
            counts[thing] = count == 0 ? nil : count
        }
    }

    /// Those with another count than 0, in no order.
    var things: some Collection<Thing> { counts.keys }
}
