public import ProxyCore

/// Something that has to be done to a kernel because somebody else has changed what was there.
public struct IPVSRepair: Hashable, Sendable {
    public enum Kind: String, Sendable {
        case missing, changed
        /// There, and not wanted.
        case foreign
    }

    public var kind: Kind
    /// What has to be done.
    public var sentence: String
}

extension IPVSTable {
    /// What of the last batches' doing is not there any more, or is there in another form: what the next batch of
    /// everything would mend. What the kernel refused, and endpoints whose connections have ended meanwhile, are not
    /// among it.
    public func repairs(of found: IPVSKernelState) -> [IPVSRepair] {
        var table = self
        table.settings.drainTimeout = nil
        table.takeOver(.everything(found))
        // What a look has not seen yet is not somebody else's doing.
        for (key, servers) in mirror.draining {
            for server in servers.keys { table.mirror.draining[key]?[server]?.isIdle = false }
        }
        guard let batch = table.nextBatch() else { return [] }
        let refused = Set(mirror.refusals.map(\.part))
        let absent = Set(refused.compactMap { if case .set(let set) = $0 { set } else { nil } })
        return batch.repairs(of: found).compactMap { part, repair in
            switch part {
            case .set(let set), .entry(_, let set): absent.contains(set) || refused.contains(part) ? nil : repair
            case .server, .address: refused.contains(part) ? nil : repair
            }
        }
    }

    /// The rules as they were committed last; nil before.
    public var committedRules: IPTablesBatch? { mirror.rules }
}

extension IPVSBatch {
    fileprivate func repairs(of found: IPVSKernelState) -> [(IPVSRefusal.Part, IPVSRepair)] {
        var repairs: [(IPVSRefusal.Part, IPVSRepair)] = []
        func note(_ part: IPVSRefusal.Part, _ kind: IPVSRepair.Kind, _ sentence: String) {
            repairs.append((part, IPVSRepair(kind: kind, sentence: sentence)))
        }
        for set in neededSets where found.sets[set] == nil { note(.set(set), .missing, "make the set \(set.name(family))") }
        for change in replacedSets { note(.set(change.set), .changed, "replace the set \(change.set.name(family))") }
        for change in addedEntries where found.sets[change.set] != nil {
            let name = change.set.name(family)
            for entry in change.entries { note(.entry(entry, change.set), .missing, "add \(entry.text) to \(name)") }
        }
        for change in removedEntries {
            let name = change.set.name(family)
            for entry in change.entries { note(.entry(entry, change.set), .foreign, "delete \(entry.text) from \(name)") }
        }
        for change in serverChanges + serverRemovals { note(.server(change.key), change.repairs, change.sentence) }
        for address in addedAddresses { note(.address(address), .missing, "add the address \(address)") }
        for address in removedAddresses { note(.address(address), .foreign, "delete the address \(address)") }
        return repairs
    }
}

extension IPVSChange {
    /// What it mends.
    fileprivate var repairs: IPVSRepair.Kind {
        switch self {
        case .addServer, .addRealServer: .missing
        case .changeServer, .changeRealServer(_, weight: 1, _): .changed
        case .deleteServer, .deleteRealServer, .changeRealServer: .foreign
        }
    }
}
