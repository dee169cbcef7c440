import ProxyCore

/// Virtual servers, sets and addresses in memory, with a kernel's refusals.
struct KernelModel {
    struct Refusal: Error, CustomStringConvertible {
        var description: String
    }

    var state = IPVSKernelState()
    let family: IPFamily

    init(_ family: IPFamily) { self.family = family }

    /// Returns what was refused; what a kernel would not expect is an error.
    ///
    /// - Parameters:
    ///   - afterEach: called after each single change.
    ///   - refuses: true for parts that are not done.
    @discardableResult
    mutating func commit(
        _ batch: IPVSBatch, afterEach look: (IPVSKernelState) throws -> Void = { _ in },
        refusing refuses: (IPVSRefusal.Part) -> Bool = { _ in false }
    ) throws -> [IPVSRefusal] {
        var refused: Set<IPVSRefusal.Part> = []
        func isRefused(_ part: IPVSRefusal.Part) -> Bool {
            if refuses(part) { refused.insert(part) }
            return refused.contains(part)
        }
        for set in batch.neededSets where state.sets[set] == nil && !isRefused(.set(set)) {
            state.sets[set] = FoundIPSet(set, family)
        }
        for change in batch.replacedSets {
            state.sets[change.set] = FoundIPSet(change.set, family, entries: Set(change.entries))
        }
        for change in batch.addedEntries where !refused.contains(.set(change.set)) {
            guard state.sets[change.set] != nil else { throw Refusal(description: "no set \(change.set)") }
            for entry in change.entries where !isRefused(.entry(entry, change.set)) {
                guard state.sets[change.set]?.entries.insert(entry).inserted == true else {
                    throw Refusal(description: "\(entry.text) is in \(change.set)")
                }
            }
        }
        for change in batch.serverChanges where !isRefused(.server(change.key)) {
            try carryOut(change)
            try look(state)
        }
        if state.addresses == nil { state.addresses = [] }
        for address in batch.addedAddresses where !isRefused(.address(address)) {
            guard state.addresses?.insert(address).inserted == true else {
                throw Refusal(description: "\(address) is there")
            }
        }
        for change in batch.serverRemovals where !isRefused(.server(change.key)) {
            try carryOut(change)
            try look(state)
        }
        for address in batch.removedAddresses where !isRefused(.address(address)) {
            guard state.addresses?.remove(address) != nil else {
                throw Refusal(description: "\(address) is not there")
            }
        }
        for change in batch.removedEntries {
            for entry in change.entries where !isRefused(.entry(entry, change.set)) {
                guard state.sets[change.set]?.entries.remove(entry) != nil else {
                    throw Refusal(description: "\(entry.text) is not in \(change.set)")
                }
            }
        }
        return refused.map { IPVSRefusal($0, "refused: \($0)") }
    }

    private mutating func carryOut(_ change: IPVSChange) throws {
        func require(_ condition: Bool) throws {
            if !condition { throw Refusal(description: "refused: \(change.sentence)") }
        }
        switch change {
        case .addServer(let key, let server):
            try require(state.servers[key] == nil)
            state.servers[key] = FoundVirtualServer(server, family)
        case .changeServer(let key, let server):
            let realServers = try real(state.servers[key]?.realServers, change)
            state.servers[key] = FoundVirtualServer(server, family)
            state.servers[key]?.realServers = realServers
        case .deleteServer(let key):
            try require(state.servers.removeValue(forKey: key) != nil)
        case .addRealServer(let server, let weight, let key):
            try require(state.servers[key] != nil && state.servers[key]?.realServers[server] == nil)
            state.servers[key]?.realServers[server] = FoundRealServer(weight: weight)
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
}
