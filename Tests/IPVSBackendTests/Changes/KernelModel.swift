import ProxyCore

/// Virtual servers, sets and addresses in memory, with a kernel's refusals.
struct KernelModel {
    struct Refusal: Error, CustomStringConvertible {
        var description: String
    }

    var state = IPVSKernelState()
    let family: IPFamily

    init(_ family: IPFamily) { self.family = family }

    /// - Parameter afterEach: called after each single change.
    mutating func commit(_ batch: IPVSBatch, afterEach look: (IPVSKernelState) throws -> Void = { _ in }) throws {
        for set in batch.neededSets where state.sets[set] == nil { state.sets[set] = emptySet(set) }
        for change in batch.replacedSets {
            var set = emptySet(change.set)
            set.entries = Set(change.entries)
            state.sets[change.set] = set
        }
        for change in batch.addedEntries {
            guard state.sets[change.set] != nil else { throw Refusal(description: "no set \(change.set)") }
            for entry in change.entries where state.sets[change.set]?.entries.insert(entry).inserted != true {
                throw Refusal(description: "\(entry.text) is in \(change.set)")
            }
        }
        for change in batch.serverChanges {
            try carryOut(change)
            try look(state)
        }
        for address in batch.addedAddresses where state.addresses?.insert(address).inserted == false {
            throw Refusal(description: "\(address) is there")
        }
        if state.addresses == nil { state.addresses = Set(batch.addedAddresses) }
        for change in batch.serverRemovals {
            try carryOut(change)
            try look(state)
        }
        for address in batch.removedAddresses where state.addresses?.remove(address) == nil {
            throw Refusal(description: "\(address) is not there")
        }
        for change in batch.removedEntries {
            for entry in change.entries where state.sets[change.set]?.entries.remove(entry) == nil {
                throw Refusal(description: "\(entry.text) is not in \(change.set)")
            }
        }
    }

    private func emptySet(_ set: IPSet) -> FoundIPSet {
        let isOfPorts = set.kind == .ports
        return FoundIPSet(
            header: .init(
                name: set.name(family), type: set.kind.rawValue, family: isOfPorts ? nil : family,
                maximumSize: isOfPorts ? nil : IPSet.size, ports: isOfPorts ? 0...UInt16.max : nil))
    }

    private mutating func carryOut(_ change: IPVSChange) throws {
        func require(_ condition: Bool) throws {
            if !condition { throw Refusal(description: "refused: \(change.sentence)") }
        }
        switch change {
        case .addServer(let key, let server):
            try require(state.servers[key] == nil)
            state.servers[key] = found(server)
        case .changeServer(let key, let server):
            let realServers = try real(state.servers[key]?.realServers, change)
            state.servers[key] = found(server)
            state.servers[key]?.realServers = realServers
        case .deleteServer(let key):
            try require(state.servers.removeValue(forKey: key) != nil)
        case .addRealServer(let server, let weight, let key):
            try require(state.servers[key] != nil && state.servers[key]?.realServers[server] == nil)
            state.servers[key]?.realServers[server] = FoundRealServer(
                forwarding: .masquerading, weight: weight, activeConnections: 0, inactiveConnections: 0,
                persistentConnections: 0)
        case .changeRealServer(let server, let weight, let key):
            try require(state.servers[key]?.realServers[server] != nil)
            state.servers[key]?.realServers[server]?.weight = weight
            state.servers[key]?.realServers[server]?.forwarding = .masquerading
        case .deleteRealServer(let server, let key):
            try require(state.servers[key]?.realServers.removeValue(forKey: server) != nil)
        }
    }

    private func real<Value>(_ value: Value?, _ change: IPVSChange) throws -> Value {
        guard let value else { throw Refusal(description: "refused: \(change.sentence)") }
        return value
    }

    private func found(_ server: VirtualServer) -> FoundVirtualServer {
        FoundVirtualServer(
            scheduler: server.scheduler, flags: server.flags, persistenceSeconds: server.persistenceSeconds ?? 0,
            persistencePrefixLength: family.bitWidth)
    }
}
