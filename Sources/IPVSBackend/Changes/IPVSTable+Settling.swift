import ProxyCore

// How one part of the kernel's state becomes as it is wanted: in the mirror, and by what is added to a batch.

// MARK: - Virtual servers

extension IPVSTable {
    mutating func settle(_ key: VirtualServer.Key, at now: Instant, _ batch: inout IPVSBatch) {
        let wanted = virtualServer(key)
        if let wanted { serve(key, wanted, &batch) }
        guard let found = mirror.state.servers[key] else { return }
        let kept = Set(wanted?.realServers ?? [])
        var removals: [IPVSChange] = []
        for (server, known) in found.realServers where !kept.contains(server) {
            if let removal = retire(server, known, of: key, at: now) { removals.append(removal) }
        }
        guard wanted == nil, mirror.state.servers[key]?.realServers.isEmpty == true else {
            return batch.serverRemovals += removals
        }
        // Its real servers go with it.
        batch.serverRemovals.append(.deleteServer(key))
        mirror.state.servers[key] = nil
        touched.noteEnd(of: key)
    }

    private mutating func serve(_ key: VirtualServer.Key, _ wanted: VirtualServer, _ batch: inout IPVSBatch) {
        let family = settings.node.family
        var server = FoundVirtualServer(wanted, family)
        if let found = mirror.state.servers[key] {
            if !found.hasOptions(of: wanted, family) { batch.serverChanges.append(.changeServer(key, wanted)) }
            server.realServers = found.realServers
        } else {
            batch.serverChanges.append(.addServer(key, wanted))
        }
        for realServer in wanted.realServers {
            if let known = server.realServers[realServer] {
                guard known.weight != 1 || known.forwarding != .masquerading else { continue }
                batch.serverChanges.append(.changeRealServer(realServer, weight: 1, of: key))
            } else {
                batch.serverChanges.append(.addRealServer(realServer, weight: 1, of: key))
            }
            server.realServers[realServer] = FoundRealServer(weight: 1)
            mirror.forgetDrain(of: realServer, key)
        }
        mirror.state.servers[key] = server
    }

    /// Nil where it has to wait longer.
    private mutating func retire(
        _ server: RealServer, _ known: FoundRealServer, of key: VirtualServer.Key, at now: Instant
    ) -> IPVSChange? {
        let drain = mirror.draining[key]?[server]
        // What is not TCP has no connections to be ended.
        guard key.protocol == .tcp, drain?.isIdle != true, !isOverdue(drain, at: now) else {
            mirror.state.servers[key]?.realServers[server] = nil
            mirror.forgetDrain(of: server, key)
            return .deleteRealServer(server, of: key)
        }
        guard known.weight != 0 else { return nil }
        mirror.state.servers[key]?.realServers[server]?.weight = 0
        mirror.draining[key, default: [:]][server] = .init(since: now, isIdle: false)
        return .changeRealServer(server, weight: 0, of: key)
    }

    private func isOverdue(_ drain: KernelMirror.Drain?, at now: Instant) -> Bool {
        guard let drain, let timeout = settings.drainTimeout else { return false }
        return now - drain.since >= timeout
    }
}

// MARK: - Addresses and sets

extension IPVSTable {
    /// - Parameter leaving: the virtual servers that nobody wants any more and that still have connections.
    mutating func settleAddresses(_ leaving: [VirtualServer.Key], _ batch: inout IPVSBatch) {
        let kept = Set(leaving.map(\.address))
        var found = mirror.state.addresses ?? []
        for address in touched.addresses {
            if wants(address) {
                if found.insert(address).inserted { batch.addedAddresses.append(address) }
            } else if !kept.contains(address), found.remove(address) != nil {
                batch.removedAddresses.append(address)
            }
        }
        mirror.state.addresses = found
    }

    /// A whole set.
    mutating func settle(_ set: IPSet, _ leaving: [VirtualServer.Key], _ batch: inout IPVSBatch) {
        let family = settings.node.family
        let wanted = Set(entries(set))
        batch.neededSets.append(set)
        let found = mirror.state.sets[set] ?? FoundIPSet(set, family)
        guard found.header.isSuitable(for: set.kind, family), found.unknownEntryCount == 0 else {
            batch.replacedSets.append(.init(set: set, entries: Array(wanted)))
            mirror.state.sets[set] = FoundIPSet(set, family, entries: wanted)
            return
        }
        mirror.state.sets[set] = found
        settle(wanted.union(found.entries), of: set, leaving, &batch)
    }

    /// Entries of a set that is there.
    mutating func settle(
        _ entries: Set<IPSetEntry>, of set: IPSet, _ leaving: [VirtualServer.Key], _ batch: inout IPVSBatch
    ) {
        let kept = set.entriesKept(for: leaving, onDevice: mirror.state.addresses ?? [])
        var added: [IPSetEntry] = []
        var removed: [IPSetEntry] = []
        for entry in entries {
            if wants(entry, in: set) {
                if mirror.state.sets[set]?.entries.insert(entry).inserted == true { added.append(entry) }
            } else if !kept.contains(entry), mirror.state.sets[set]?.entries.remove(entry) != nil {
                removed.append(entry)
            }
        }
        if !added.isEmpty { batch.addedEntries.append(.init(set: set, entries: added)) }
        if !removed.isEmpty { batch.removedEntries.append(.init(set: set, entries: removed)) }
    }
}

extension IPSet {
    /// What stays in a set for virtual servers that nobody wants any more and that still have connections: new connections
    /// to them are refused by their address on the device, and those at addresses of the node are known as ours by their
    /// entries alone.
    func entriesKept(
        for leaving: some Sequence<VirtualServer.Key>, onDevice addresses: Set<IPAddress>
    ) -> Set<IPSetEntry> {
        if self == .serviceAddresses { return Set(leaving.map { .address($0.address) }) }
        guard namesServers else { return [] }
        let elsewhere = leaving.filter { !addresses.contains($0.address) }
        return Set(elsewhere.flatMap(\.places).filter { $0.set == self }.map(\.entry))
    }
}
