/// A virtual server as the kernel has it, whoever made it.
public struct FoundVirtualServer: Hashable, Sendable {
    public var scheduler: IPVSScheduler
    public var flags: VirtualServer.Flags
    /// Of no meaning without persistence.
    public var persistenceSeconds: Int
    /// How many leading bits of a client's address persistence looks at.
    public var persistencePrefixLength: Int
    public var realServers: [RealServer: FoundRealServer]

    public init(
        scheduler: IPVSScheduler, flags: VirtualServer.Flags, persistenceSeconds: Int, persistencePrefixLength: Int,
        realServers: [RealServer: FoundRealServer] = [:]
    ) {
        self.scheduler = scheduler
        self.flags = flags
        self.persistenceSeconds = persistenceSeconds
        self.persistencePrefixLength = persistencePrefixLength
        self.realServers = realServers
    }

    /// One of ours as it is made, without its real servers.
    ///
    /// - Parameter family: of the virtual server's address.
    public init(_ wanted: VirtualServer, _ family: IPFamily) {
        self.init(
            scheduler: wanted.scheduler, flags: wanted.flags, persistenceSeconds: wanted.persistenceSeconds ?? 0,
            persistencePrefixLength: family.bitWidth)
    }

    /// True if all but the real servers is as wanted.
    ///
    /// - Parameter family: of the virtual server's address.
    public func hasOptions(of wanted: VirtualServer, _ family: IPFamily) -> Bool {
        guard scheduler == wanted.scheduler, flags == wanted.flags else { return false }
        guard let seconds = wanted.persistenceSeconds else { return true }
        return persistenceSeconds == seconds && persistencePrefixLength == family.bitWidth
    }
}

/// What the kernel knows of a real server.
public struct FoundRealServer: Hashable, Sendable {
    /// How packets get to it (ipvsadm(8)).
    public enum Forwarding: Hashable, Sendable {
        /// By address translation, as all of ours are.
        case masquerading
        case localNode, tunnel, directRouting, bypass
        case other
    }

    public var forwarding: Forwarding
    /// 0 for one that gets no new connections.
    public var weight: Int
    public var activeConnections: Int
    /// Those that are being opened or closed or are over, and flows of UDP.
    public var inactiveConnections: Int
    /// How many of all at least one end has not closed; nil where they were not counted. The kernel remembers the others
    /// for up to two minutes.
    public var openConnections: Int?
    /// Clients that persistence keeps with it.
    public var persistentConnections: Int

    public init(
        forwarding: Forwarding, weight: Int, activeConnections: Int, inactiveConnections: Int,
        persistentConnections: Int
    ) {
        self.forwarding = forwarding
        self.weight = weight
        self.activeConnections = activeConnections
        self.inactiveConnections = inactiveConnections
        self.persistentConnections = persistentConnections
    }

    /// One of ours as it is made.
    public init(weight: Int) {
        self.init(
            forwarding: .masquerading, weight: weight, activeConnections: 0, inactiveConnections: 0,
            persistentConnections: 0)
    }

    /// True if it has no connection that somebody may still use.
    public var isIdle: Bool { (openConnections ?? activeConnections + inactiveConnections) == 0 }
}
