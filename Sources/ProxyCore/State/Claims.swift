/// Which service ports want a key that one of them can have, such as an address and port. Mostly one does; where
/// several do, the last by name has it.
package struct Claims<Key: Hashable & Sendable>: Sendable {
    private var owners: [Key: ServicePortName] = [:]
    /// All that want a key that several want.
    private var rivals: [Key: Set<ServicePortName>] = [:]

    package init() {}

    package mutating func add(_ name: ServicePortName, to key: Key) {
        guard let owner = owners[key] else {
            owners[key] = name
            return
        }
        guard owner != name else { return }
        rivals[key, default: [owner]].insert(name)
    }

    package mutating func remove(_ name: ServicePortName, from key: Key) {
        guard var names = rivals[key] else {
            if owners[key] == name { owners[key] = nil }
            return
        }
        names.remove(name)
        owners[key] = names.first
        rivals[key] = names.count > 1 ? names : nil
    }

    /// In the order of names.
    package subscript(key: Key) -> [ServicePortName] {
        if let names = rivals[key] { return names.sorted() }
        return owners[key].map { [$0] } ?? []
    }
}

/// How many service ports need each of some things: one that several need is in the kernel once.
package struct UseCounts<Thing: Hashable & Sendable>: Sendable {
    private var counts: [Thing: Int] = [:]

    package init() {}

    package subscript(thing: Thing) -> Int { counts[thing] ?? 0 }

    package mutating func add(_ things: some Sequence<Thing>, _ times: Int) {
        for thing in things {
            let count = self[thing] + times
            counts[thing] = count == 0 ? nil : count
        }
    }

    /// Those with another count than 0, in no order.
    package var things: some Collection<Thing> { counts.keys }
}
