public import ProxyCore

/// Commits batches of ipvs mode in their order, and lists what a kernel has of them.
///
/// The kernel takes none of it as a whole: what is refused is named, and the rest is done.
///
/// Calls wait on a thread of their own, one for all parts of the kernel: a change of threads costs more than a request.
public actor IPVSCommitter {
    private let executor: BlockingExecutor
    private let servers: IPVSApplier
    private let sets: IPSetApplier
    private let device: ServiceDevice
    private let rules: IPTablesApplier

    nonisolated public var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameter tools: the iptables programs of the family that is committed.
    public init(tools: IPTablesTools, access: NodeAccess = NodeAccess()) {
        executor = BlockingExecutor(label: "switchyard.ipvs-committer")
        servers = IPVSApplier(executor: executor)
        sets = IPSetApplier(executor: executor)
        device = ServiceDevice(executor: executor)
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

    /// What the kernel has of some virtual servers; nil for one that is not there.
    public func look(
        at keys: Set<VirtualServer.Key>
    ) async throws(IPVSError) -> [VirtualServer.Key: FoundVirtualServer?] {
        let found = try await servers.list(keys)
        return Dictionary(uniqueKeysWithValues: keys.map { ($0, found[$0]) })
    }

    /// What iptables-save prints of the tables that have rules of ours.
    public func savedRules() async throws(IPTablesError) -> [UInt8] { try await rules.save([.filter, .nat]) }

    /// What became of a batch.
    public struct Report: Sendable {
        /// What the kernel did not do; none if all is done.
        public var refusals: [IPVSRefusal] = []
        /// What else an operator has to know, such as a setting of the kernel that could not be made.
        public var warnings: [String] = []

        public init() {}
    }

    /// Commits a batch.
    ///
    /// What comes after a part that could not be done at all is not tried, so that no service is announced that nobody
    /// serves. A commit that has begun goes on to its end, also where the task is cancelled.
    public func commit(_ batch: IPVSBatch) async throws -> Report {
        // Only programs are ended by a cancellation, and a task of its own costs as much as two or three requests.
        guard batch.rules != nil else { return try await committed(batch) }
        return try await Task { try await committed(batch) }.value
    }

    private func committed(_ batch: IPVSBatch) async throws -> Report {
        var report = Report()
        let family = batch.family
        // One that an earlier run has left is of no use to anybody.
        if !batch.neededSets.isEmpty { try? await sets.destroy(IPSet.nameAside(family)) }
        let missing = try await createSets(batch, &report)
        for change in batch.replacedSets {
            report.note(try await replace(change, family)) { .entry(change.entries[$0], change.set) }
        }
        for change in batch.addedEntries where !missing.contains(change.set) {
            let refused = try await sets.add(change.entries, to: change.set.name(family))
            report.note(refused) { .entry(change.entries[$0], change.set) }
        }
        // Rules of iptables mode take the packets of services until ours stand in their place: by then virtual servers
        // have to be there. Where nothing served before, a connection that came before our rules would never be
        // masqueraded.
        let rules = batch.rules?.leavingOut(sets: missing.map { $0.name(family) })
        let replacesIPTables = rules != nil ? try await self.rules.servingMode() == .iptables : false
        if replacesIPTables {
            // Without one of the settings no connection of IPVS is masqueraded.
            report.warnings = await self.rules.access.set(rules?.sysctls ?? [])
        } else if let rules {
            report.warnings = try await self.rules.apply(rules).warnings
        }
        if let timeouts = batch.timeouts { try await servers.set(timeouts) }
        let refused = try await servers.perform(batch.serverChanges)
        report.note(refused.withoutConsequences(of: batch.serverChanges)) { .server(batch.serverChanges[$0].key) }
        if !batch.neededSets.isEmpty || !batch.addedAddresses.isEmpty {
            report.note(try await device.ensure(with: batch.addedAddresses)) { .address(batch.addedAddresses[$0]) }
        }
        if !batch.neededSets.isEmpty {
            // Another mode that was to take the place of this one may have got stuck halfway.
            try await device.takeBack(family)
            if family == .ipv6 { report.warnings += try await device.deprecateAddresses().map(\.error.sentence) }
        }
        if replacesIPTables, var rules {
            // The rules of table nat that were there go on until it is its turn: those of table filter that go with them
            // would drop what is not translated any more.
            rules.tables.sort { $0.name == .filter && $1.name != .filter }
            report.warnings += try await self.rules.apply(rules).warnings
        }
        report.note(try await servers.perform(batch.serverRemovals)) { .server(batch.serverRemovals[$0].key) }
        report.note(try await device.delete(batch.removedAddresses)) { .address(batch.removedAddresses[$0]) }
        for change in batch.removedEntries where !missing.contains(change.set) {
            let refused = try await sets.delete(change.entries, from: change.set.name(family))
            report.note(refused) { .entry(change.entries[$0], change.set) }
        }
        return report
    }

    /// Creates what is needed. Returns the sets that this kernel does not have the type of, where the rest is of use
    /// without them: only those of addresses and ports are needed for every service.
    private func createSets(_ batch: IPVSBatch, _ report: inout Report) async throws(IPVSError) -> Set<IPSet> {
        var missing: Set<IPSet> = []
        for set in batch.neededSets where !batch.replacedSets.contains(where: { $0.set == set }) {
            do throws(IPVSError) {
                try await sets.create(set.name(batch.family), set.kind, batch.family)
            } catch {
                guard error.errno == IPSetErrno.unknownType, set.kind != .addressesAndPorts else { throw error }
                missing.insert(set)
                report.refusals.append(IPVSRefusal(.set(set), error.sentence, lack: error.lack))
            }
        }
        return missing
    }

    /// Fills a set aside and lets it take the name of the one that is there.
    private func replace(_ change: IPVSBatch.SetChange, _ family: IPFamily) async throws(IPVSError) -> [IPVSFailure] {
        let (name, aside) = (change.set.name(family), IPSet.nameAside(family))
        try await sets.create(aside, change.set.kind, family)
        let refused = try await sets.add(change.entries, to: aside)
        try await sets.swap(aside, with: name)
        try await sets.destroy(aside)
        return refused
    }
}

extension IPVSCommitter.Report {
    /// Of what depends on each other the first is named: where a virtual server is refused, its real servers are too.
    fileprivate mutating func note(_ failures: [IPVSFailure], _ part: (Int) -> IPVSRefusal.Part) {
        var named = Set(refusals.map(\.part))
        for failure in failures {
            let part = part(failure.index)
            guard named.insert(part).inserted else { continue }
            refusals.append(IPVSRefusal(part, failure.error.sentence, lack: failure.error.lack))
        }
    }
}
