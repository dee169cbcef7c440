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
    /// Cluster IPs that the node has without us, each with a service port of it: they stay where they are, as an external
    /// IP may, but nobody means them to be there.
    public private(set) var clusterIPsElsewhere: [IPAddress: ServicePortName] = [:]
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
        if let address = old?.clusterIPElsewhere { clusterIPsElsewhere[address] = nil }
        if let address = new?.clusterIPElsewhere { clusterIPsElsewhere[address] = name }
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

    /// What a kernel has that has all of it.
    public func kernelState() -> IPVSKernelState {
        let family = settings.node.family
        var state = IPVSKernelState(addresses: Set(addresses))
        for (key, server) in virtualServers {
            state.servers[key] = FoundVirtualServer(server, family)
        }
        for set in IPSet.allCases {
            let isOfPorts = set.kind == .ports
            let header = IPSetHeader(
                name: set.name(family), type: set.kind.rawValue, family: isOfPorts ? nil : family,
                maximumSize: isOfPorts ? nil : IPSet.size, ports: isOfPorts ? 0...UInt16.max : nil)
            state.sets[set] = FoundIPSet(header: header, entries: Set(entries(set)))
        }
        return state
    }

    /// The service ports that have the virtual servers.
    public var serverOwners: [VirtualServer.Key: ServicePortName] {
        Dictionary(virtualServers.keys.compactMap { key in owner(of: key).map { (key, $0) } }) { first, _ in first }
    }

    /// In the order of the service ports.
    var refusals: [VirtualServer.Key] {
        refusing.sorted().flatMap { fragments[$0]?.refusals ?? [] }
    }
}

extension FoundVirtualServer {
    fileprivate init(_ server: VirtualServer, _ family: IPFamily) {
        let realServers = server.realServers.map { realServer in
            let state = FoundRealServer(
                forwarding: .masquerading, weight: 1, activeConnections: 0, inactiveConnections: 0,
                persistentConnections: 0)
            return (realServer, state)
        }
        self.init(
            scheduler: server.scheduler, flags: server.flags, persistenceSeconds: server.persistenceSeconds ?? 0,
            persistencePrefixLength: family.bitWidth,
            realServers: Dictionary(realServers) { first, _ in first })
    }
}
