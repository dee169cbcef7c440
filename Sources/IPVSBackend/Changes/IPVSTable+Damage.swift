public import ProxyCore

extension IPVSTable {
    /// True if somebody else has changed what the last batches did: if a batch of everything would have to mend it.
    ///
    /// What the kernel refused, and endpoints whose connections have ended meanwhile, are no damage.
    public func isDamaged(in found: IPVSKernelState) -> Bool {
        var table = self
        table.settings.drainTimeout = nil
        table.didFail()
        table.takeOver(.everything(found))
        // What a look has not seen yet is not somebody else's doing.
        for (key, servers) in mirror.draining {
            for server in servers.keys { table.mirror.draining[key]?[server]?.isIdle = false }
        }
        guard let batch = table.nextBatch() else { return false }
        let refused = Set(mirror.refusals.map(\.part))
        return batch.parts(newTo: found).contains { part in
            if case .entry(_, let set) = part, refused.contains(.set(set)) { return false }
            return !refused.contains(part)
        }
    }

    /// The rules as they were committed last; nil before.
    public var committedRules: IPTablesBatch? { mirror.rules }
}

extension IPVSBatch {
    /// All that it does but for the rules, and for making sets that are there.
    fileprivate func parts(newTo found: IPVSKernelState) -> [IPVSRefusal.Part] {
        var parts = neededSets.filter { found.sets[$0] == nil }.map(IPVSRefusal.Part.set)
        parts += replacedSets.map { .set($0.set) }
        for change in addedEntries + removedEntries { parts += change.entries.map { .entry($0, change.set) } }
        parts += (serverChanges + serverRemovals).map { .server($0.key) }
        parts += (addedAddresses + removedAddresses).map { .address($0) }
        return parts
    }
}
