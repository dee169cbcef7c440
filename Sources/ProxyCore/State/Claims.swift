/// Which service ports want a key that one of them can have, such as an address and port. Mostly one does; where
/// several do, the last by name has it.
public struct Claims<Key: Hashable & Sendable>: Sendable {
    @usableFromInline var owners: [Key: ServicePortName] = [:]
    /// All that want a key that several want.
    @usableFromInline var rivals: [Key: Set<ServicePortName>] = [:]

    @inlinable public init() {}

    @inlinable public mutating func add(_ name: ServicePortName, to key: Key) {
        guard let owner = owners[key] else {
            owners[key] = name
            return
        }
        guard owner != name else { return }
        rivals[key, default: [owner]].insert(name)
    }

    @inlinable public mutating func remove(_ name: ServicePortName, from key: Key) {
        guard var names = rivals[key] else {
            if owners[key] == name { owners[key] = nil }
            return
        }
        names.remove(name)
        owners[key] = names.first
        rivals[key] = names.count > 1 ? names : nil
    }

    /// In the order of names.
    @inlinable public subscript(key: Key) -> [ServicePortName] {
        if let names = rivals[key] { return names.sorted() }
        return owners[key].map { [$0] } ?? []
    }
}

/// How many service ports need each of some things: one that several need is in the kernel once.
public struct UseCounts<Thing: Hashable & Sendable>: Sendable {
    @usableFromInline var counts: [Thing: Int] = [:]

    @inlinable public init() {}

    @inlinable public subscript(thing: Thing) -> Int { counts[thing] ?? 0 }

    @inlinable public mutating func add(_ things: some Sequence<Thing>, _ times: Int) {
        for thing in things {
            let count = self[thing] + times
            counts[thing] = count == 0 ? nil : count
        }
    }

    /// Those with another count than 0, in no order.
    @inlinable public var things: some Collection<Thing> { counts.keys }
}
