import ProxyCore

/// What of the kernel's state may not be as it is wanted: all else need not be looked at.
struct TouchedParts {
    var servers: Set<VirtualServer.Key> = []
    var addresses: Set<IPAddress> = []
    var entries: [IPSet: Set<IPSetEntry>] = [:]
    /// Those that are to be created.
    var sets: Set<IPSet> = []

    var isEmpty: Bool { servers.isEmpty && addresses.isEmpty && entries.isEmpty && sets.isEmpty }

    /// Notes what tells one state of a service port from another.
    mutating func note(from old: ServiceFragment?, to new: ServiceFragment?) {
        let (oldServers, newServers) = (old?.servers ?? [:], new?.servers ?? [:])
        for (key, server) in newServers where oldServers[key] != server { servers.insert(key) }
        for key in oldServers.keys where newServers[key] == nil { servers.insert(key) }
        addresses.formUnion((old?.addresses ?? []).symmetricDifference(new?.addresses ?? []))
        let (oldEntries, newEntries) = (old?.entries ?? [:], new?.entries ?? [:])
        for set in Set(oldEntries.keys).union(newEntries.keys) {
            let changed = (oldEntries[set] ?? []).symmetricDifference(newEntries[set] ?? [])
            if !changed.isEmpty { entries[set, default: []].formUnion(changed) }
        }
    }

    /// Notes what a virtual server keeps in place as long as it is there.
    mutating func noteEnd(of key: VirtualServer.Key) {
        addresses.insert(key.address)
        entries[.serviceAddresses, default: []].insert(.address(key.address))
        for (set, entry) in key.places { entries[set, default: []].insert(entry) }
    }

    mutating func note(_ part: IPVSRefusal.Part) {
        switch part {
        case .set(let set): sets.insert(set)
        case .entry(let entry, let set): entries[set, default: []].insert(entry)
        case .server(let key): servers.insert(key)
        case .address(let address): addresses.insert(address)
        }
    }
}
