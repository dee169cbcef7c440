public import ProxyCore

/// Commits batches of ipvs mode in their order, and lists what a kernel has of them.
///
/// The kernel takes none of it as a whole: what is refused is named, and the rest is done.
public struct IPVSCommitter: Sendable {
    private let servers = IPVSApplier()
    private let sets = IPSetApplier()
    private let device = ServiceDevice()
    private let rules: IPTablesApplier

    /// - Parameter tools: the iptables programs of the family that is committed.
    public init(tools: IPTablesTools, access: NodeAccess = NodeAccess()) {
        rules = IPTablesApplier(tools: tools, access: access)
    }

    /// What the kernel has in a family.
    public func list(_ family: IPFamily) async throws(IPVSError) -> IPVSKernelState {
        var state = IPVSKernelState(servers: try await servers.list(family), addresses: try await device.list(family))
        let headers = try await sets.headers()
        for set in IPSet.allCases where headers[set.name(family)] != nil {
            state.sets[set] = try await sets.list(set.name(family))
        }
        return state
    }

    /// What became of a batch.
    public struct Report: Sendable {
        /// A sentence for each thing that the kernel refused; none if all is done.
        public var refusals: [String] = []
        /// What else an operator has to know, such as a setting of the kernel that could not be made.
        public var warnings: [String] = []
    }

    /// Commits a batch.
    ///
    /// What comes after a part that could not be done at all is not tried, so that no service is announced that nobody
    /// serves.
    public func commit(_ batch: IPVSBatch) async throws -> Report {
        var warnings: [String] = []
        var refused: [IPVSFailure] = []
        for set in batch.neededSets where !batch.replacedSets.contains(where: { $0.set == set }) {
            try await sets.create(set.name(batch.family), set.kind, batch.family)
        }
        for change in batch.replacedSets { refused += try await replace(change, batch.family) }
        for change in batch.addedEntries {
            refused += try await sets.add(change.entries, to: change.set.name(batch.family))
        }
        if let rules = batch.rules { warnings = try await self.rules.apply(rules).warnings }
        if let timeouts = batch.timeouts { try await servers.set(timeouts) }
        refused += try await servers.perform(batch.serverChanges).withoutConsequences(of: batch.serverChanges)
        if !batch.neededSets.isEmpty || !batch.addedAddresses.isEmpty { try await device.ensure() }
        if !batch.neededSets.isEmpty, batch.family == .ipv6 { refused += try await device.deprecateAddresses() }
        refused += try await device.add(batch.addedAddresses)
        refused += try await servers.perform(batch.serverRemovals)
        refused += try await device.delete(batch.removedAddresses)
        for change in batch.removedEntries {
            refused += try await sets.delete(change.entries, from: change.set.name(batch.family))
        }
        return Report(refusals: refused.sentences, warnings: warnings)
    }

    /// Fills a set aside and lets it take the name of the one that is there.
    private func replace(_ change: IPVSBatch.SetChange, _ family: IPFamily) async throws(IPVSError) -> [IPVSFailure] {
        let (name, aside) = (change.set.name(family), family == .ipv4 ? "KUBE-ASIDE" : "KUBE-6-ASIDE")
        // One that an earlier run has left is of no use to anybody.
        try? await sets.destroy(aside)
        try await sets.create(aside, change.set.kind, family)
        let refused = try await sets.add(change.entries, to: aside)
        try await sets.swap(aside, with: name)
        try await sets.destroy(aside)
        return refused
    }
}
