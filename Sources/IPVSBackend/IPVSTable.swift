public import ProxyCore

/// The virtual servers, sets, addresses and rules of one family, kept from sync to sync, and what of them a kernel has.
///
/// In a sync: `update`, `takeOver` what was looked at, `nextBatch`, and then `didCommit` or `didFail`.
public struct IPVSTable: Sendable {
    public internal(set) var settings: IPVSSettings
    private(set) var fragments: [ServicePortName: ServiceFragment] = [:]
    private var servers = Claims<VirtualServer.Key>()
    private var addressUses = UseCounts<IPAddress>()
    private var entryUses: [IPSet: UseCounts<IPSetEntry>] = [:]
    /// The service ports with load-balancer IPs that the node itself may not use.
    private var refusing: Set<ServicePortName> = []
    /// Addresses of services that the node has without us, each with a service port that wants it: they stay where they
    /// are.
    public private(set) var addressesElsewhere: [IPAddress: ServicePortName] = [:]
    /// What may have to be done since the last batch.
    var touched = TouchedParts()
    var mirror = KernelMirror()

    public init(_ settings: IPVSSettings) {
        self.settings = settings
    }

    public mutating func update(_ changes: PlanTable.Changes) {
        for name in changes.removed { replace(name, by: nil) }
        for plan in changes.changed { replace(plan.name, by: plan) }
    }

    /// Takes over what has become of the node.
    ///
    /// - Parameter plans: those of all services, as they are now.
    public mutating func update(_ settings: IPVSSettings, plans: some Sequence<ServicePlan>) {
        guard settings != self.settings else { return }
        self.settings = settings
        for plan in plans { replace(plan.name, by: plan) }
    }

    private mutating func replace(_ name: ServicePortName, by plan: ServicePlan?) {
        let old = fragments[name]
        let new = plan.map { ServiceFragment($0, settings) }
        guard old != new else { return }
        touched.note(from: old, to: new)
        fragments[name] = new
        if let old {
            for key in old.servers.keys { servers.remove(name, from: key) }
            count(old, -1)
        }
        if let new {
            for key in new.servers.keys { servers.add(name, to: key) }
            count(new, 1)
        }
        for address in old?.addressesElsewhere ?? [] { addressesElsewhere[address] = nil }
        for address in new?.addressesElsewhere ?? [] { addressesElsewhere[address] = name }
        if new?.refusals.isEmpty == false { refusing.insert(name) } else { refusing.remove(name) }
    }

    private mutating func count(_ fragment: ServiceFragment, _ times: Int) {
        addressUses.add(fragment.addresses, times)
        for (set, entries) in fragment.entries { entryUses[set, default: .init()].add(entries, times) }
    }

    // MARK: - What is wanted

    public var servicePortCount: Int { fragments.count }

    /// Every virtual server. Where several service ports want one, the last by name has it.
    public var virtualServers: [VirtualServer.Key: VirtualServer] {
        var wanted: [VirtualServer.Key: VirtualServer] = [:]
        for (name, fragment) in fragments {
            for (key, server) in fragment.servers where servers[key].last == name { wanted[key] = server }
        }
        return wanted
    }

    func virtualServer(_ key: VirtualServer.Key) -> VirtualServer? {
        servers[key].last.flatMap { fragments[$0]?.servers[key] }
    }

    public func entries(_ set: IPSet) -> some Collection<IPSetEntry> { (entryUses[set] ?? .init()).things }

    func wants(_ entry: IPSetEntry, in set: IPSet) -> Bool { (entryUses[set]?[entry] ?? 0) > 0 }

    /// Those of `kube-ipvs0`.
    public var addresses: some Collection<IPAddress> { addressUses.things }

    func wants(_ address: IPAddress) -> Bool { addressUses[address] > 0 }

    /// The service port that has a virtual server.
    func owner(of key: VirtualServer.Key) -> ServicePortName? { servers[key].last }

    /// In the order of the service ports.
    var refusals: [VirtualServer.Key] {
        refusing.sorted().flatMap { fragments[$0]?.refusals ?? [] }
    }
}
