/// What one sync does to the virtual servers of a family and to what stands around them.
///
/// The kernel has no transaction for this. What is committed in the order of the properties never leaves a service that
/// has endpoints without all of them: what is new is complete before packets find it, and what goes is out of their
/// way before it is taken apart.
public struct IPVSBatch: Hashable, Sendable {
    /// What changes in a set. One that is not there is created.
    public struct SetChange: Hashable, Sendable {
        public var set: IPSet
        public var entries: [IPSetEntry]

        public init(set: IPSet, entries: [IPSetEntry]) {
            self.set = set
            self.entries = entries
        }
    }

    public var family: IPFamily
    /// The sets that are to be there: all of them in a batch of everything.
    public var neededSets: [IPSet] = []
    /// Sets that are there in another form, or with entries that we do not write: they are filled aside and swapped.
    public var replacedSets: [SetChange] = []
    public var addedEntries: [SetChange] = []
    /// Nil if the kernel's stay as they are.
    public var timeouts: IPVSTimeouts?
    /// Nil if the rules stay as they are.
    public var rules: IPTablesBatch?
    /// New virtual servers, each followed by its real servers, then what is new or other in those that were there.
    public var serverChanges: [IPVSChange] = []
    public var addedAddresses: [IPAddress] = []
    /// Real servers that go, or are given weight 0, and virtual servers that nobody uses any more.
    public var serverRemovals: [IPVSChange] = []
    public var removedAddresses: [IPAddress] = []
    public var removedEntries: [SetChange] = []

    public init(family: IPFamily) {
        self.family = family
    }

    public var isEmpty: Bool { self == IPVSBatch(family: family) }
}

/// What a kernel has in one family that ipvs mode cares for.
public struct IPVSKernelState: Hashable, Sendable {
    /// All virtual servers, foreign ones included.
    public var servers: [VirtualServer.Key: FoundVirtualServer]
    /// The sets of ours that are there, by what they are.
    public var sets: [IPSet: FoundIPSet]
    /// Those of `kube-ipvs0`; nil where the device is not there.
    public var addresses: Set<IPAddress>?

    public init(
        servers: [VirtualServer.Key: FoundVirtualServer] = [:], sets: [IPSet: FoundIPSet] = [:],
        addresses: Set<IPAddress>? = nil
    ) {
        self.servers = servers
        self.sets = sets
        self.addresses = addresses
    }

    /// True for a virtual server that ipvs mode has made, ours or a kube-proxy's: one whose address is on
    /// `kube-ipvs0`, or is with its port in a set of services, or one of the node's with a port in a set of node ports.
    ///
    /// A node port stays behind at an address that the node has lost while nobody looked. Such a one is known by its
    /// real servers, which are all among those of another virtual server that is ours.
    ///
    /// - Parameters:
    ///   - nodeAddresses: those that the node has without `kube-ipvs0`.
    ///   - excluded: ranges in which every virtual server is another program's.
    package func isOurs(
        _ key: VirtualServer.Key, nodeAddresses: Set<IPAddress>, excluding excluded: [CIDR]
    ) -> Bool {
        guard !excluded.contains(where: { $0.contains(key.address) }) else { return false }
        if isNamed(key) { return true }
        guard has(key.asNodePort) else { return false }
        if nodeAddresses.contains(key.address) { return true }
        guard let realServers = servers[key]?.realServers.keys, !realServers.isEmpty else { return false }
        return servers.contains { other, server in
            other.protocol == key.protocol && realServers.allSatisfy { server.realServers[$0] != nil }
                && (isNamed(other) || nodeAddresses.contains(other.address) && has(other.asNodePort))
        }
    }

    private func isNamed(_ key: VirtualServer.Key) -> Bool {
        addresses?.contains(key.address) == true || key.placesByAddress.contains(where: has)
    }

    private func has(_ place: VirtualServer.Place) -> Bool { sets[place.set]?.entries.contains(place.entry) == true }
}
