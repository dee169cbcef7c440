public import ProxyCore

// What has to be done so that a kernel has what is wanted.
extension IPVSTable {
    /// Everything, compared with what the kernel was found to have.
    ///
    /// A TCP endpoint that goes is given weight 0 and keeps its connections; once it was found with weight 0 and
    /// without connections it is deleted. Its virtual server stays until then, and so does the address.
    public func batch(from found: IPVSKernelState) -> IPVSBatch {
        var batch = IPVSBatch(family: settings.node.family)
        batch.neededSets = IPSet.allCases
        batch.rules = rules()
        batch.timeouts = settings.timeouts
        var draining: Set<VirtualServer.Key> = []
        let wanted = virtualServers
        for key in Set(wanted.keys).union(found.servers.keys) {
            let server = found.servers[key]
            if let wanted = wanted[key] {
                change(key, from: server, to: wanted, &batch)
            } else if let server, isOurs(key, in: found), !retire(key, server, &batch) {
                draining.insert(key)
            }
        }
        let addresses = found.addresses ?? []
        let kept = Set(draining.map(\.address))
        batch.addedAddresses = self.addresses.filter { !addresses.contains($0) }
        batch.removedAddresses = addresses.filter { !wants($0) && !kept.contains($0) }
        for set in IPSet.allCases { compare(set, found.sets[set], keeping: draining, &batch) }
        return batch
    }

    /// True for a virtual server that this table may delete.
    func isOurs(_ key: VirtualServer.Key, in found: IPVSKernelState) -> Bool {
        guard !settings.excludedRanges.contains(where: { $0.contains(key.address) }) else { return false }
        if found.addresses?.contains(key.address) == true { return true }
        guard settings.nodeAddresses.contains(key.address) else { return false }
        let (set, entry) = key.asNodePort
        return found.sets[set]?.entries.contains(entry) == true
    }

    // MARK: Virtual servers

    private func change(
        _ key: VirtualServer.Key, from found: FoundVirtualServer?, to wanted: VirtualServer, _ batch: inout IPVSBatch
    ) {
        if let found {
            if !found.hasOptions(of: wanted, settings.node.family) {
                batch.serverChanges.append(.changeServer(key, wanted))
            }
        } else {
            batch.serverChanges.append(.addServer(key, wanted))
        }
        for server in wanted.realServers {
            guard let known = found?.realServers[server] else {
                batch.serverChanges.append(.addRealServer(server, weight: 1, of: key))
                continue
            }
            if known.weight != 1 || known.forwarding != .masquerading {
                batch.serverChanges.append(.changeRealServer(server, weight: 1, of: key))
            }
        }
        let kept = Set(wanted.realServers)
        for (server, known) in found?.realServers ?? [:] where !kept.contains(server) {
            _ = retire(server, known, of: key, &batch)
        }
    }

    /// Returns true if nothing is left of it.
    private func retire(_ key: VirtualServer.Key, _ found: FoundVirtualServer, _ batch: inout IPVSBatch) -> Bool {
        var isEmpty = true
        for (server, known) in found.realServers {
            if !retire(server, known, of: key, &batch) { isEmpty = false }
        }
        if isEmpty { batch.serverRemovals.append(.deleteServer(key)) }
        return isEmpty
    }

    /// Returns true if it is deleted.
    private func retire(
        _ server: RealServer, _ found: FoundRealServer, of key: VirtualServer.Key, _ batch: inout IPVSBatch
    ) -> Bool {
        // What is not TCP has no connections to be ended.
        let isIdle = found.weight == 0 && found.activeConnections == 0 && found.inactiveConnections == 0
        guard key.protocol == .tcp, !isIdle else {
            batch.serverRemovals.append(.deleteRealServer(server, of: key))
            return true
        }
        if found.weight != 0 { batch.serverRemovals.append(.changeRealServer(server, weight: 0, of: key)) }
        return false
    }

    // MARK: Sets

    private func compare(
        _ set: IPSet, _ found: FoundIPSet?, keeping draining: Set<VirtualServer.Key>, _ batch: inout IPVSBatch
    ) {
        let wanted = Set(entries(set))
        let family = settings.node.family
        if let found, !found.header.isSuitable(for: set.kind, family) || found.unknownEntryCount > 0 {
            batch.replacedSets.append(.init(set: set, entries: Array(wanted)))
            return
        }
        let known = found?.entries ?? []
        let added = wanted.subtracting(known)
        // What is being drained is known as ours by its port, and new connections to it are refused by its address.
        let kept = draining.map { set == .serviceAddresses ? .address($0.address) : $0.asNodePort.entry }
        let isKept = set == .serviceAddresses || set.isOfNodePorts
        let removed = known.subtracting(wanted).subtracting(isKept ? kept : [])
        if !added.isEmpty { batch.addedEntries.append(.init(set: set, entries: Array(added))) }
        if !removed.isEmpty { batch.removedEntries.append(.init(set: set, entries: Array(removed))) }
    }
}
