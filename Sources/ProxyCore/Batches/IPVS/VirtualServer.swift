/// A virtual server of IPVS: an address whose connections are spread over real servers (ipvsadm(8)).
public struct VirtualServer: Hashable, Sendable {
    /// By what the kernel tells virtual servers apart.
    public struct Key: Hashable, Sendable {
        public var address: IPAddress
        public var `protocol`: TransportProtocol
        public var port: UInt16

        public init(_ address: IPAddress, _ protocol: TransportProtocol, _ port: UInt16) {
            self.address = address
            self.protocol = `protocol`
            self.port = port
        }
    }

    /// How it treats connections (`IP_VS_SVC_F_…` of linux/ip_vs.h).
    public struct Flags: OptionSet, Hashable, Sendable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        public static let persistent = Flags(rawValue: 0x01)
        /// What the scheduler makes of it is its own matter: `mh` and `sh` count the client's port.
        public static let countsClientPort = Flags(rawValue: 0x10)
    }

    public var scheduler: IPVSScheduler
    /// Seconds for which a client stays with its real server after its last connection; nil without persistence.
    public var persistenceSeconds: Int?
    /// In the order of the plan.
    public var realServers: [RealServer]

    public init(scheduler: IPVSScheduler, persistenceSeconds: Int?, realServers: [RealServer]) {
        self.scheduler = scheduler
        self.persistenceSeconds = persistenceSeconds
        self.realServers = realServers
    }

    public var flags: Flags {
        var flags: Flags = []
        if persistenceSeconds != nil { flags.insert(.persistent) }
        if scheduler.countsClientPort { flags.insert(.countsClientPort) }
        return flags
    }
}

/// Whom a virtual server sends connections to: always translated (masquerading in IPVS's words), always with weight 1.
public struct RealServer: Hashable, Sendable {
    public var address: IPAddress
    public var port: UInt16

    public init(_ address: IPAddress, _ port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// How a virtual server chooses.
public struct IPVSScheduler: Hashable, Sendable {
    /// As the kernel knows it: `rr`, `wrr`, `lc`, `wlc`, `lblc`, `lblcr`, `sh`, `dh`, `sed`, `nq`, `mh` (ipvsadm(8)).
    public var name: String

    /// - Parameter name: empty for the default, `rr`.
    public init(_ name: String) {
        self.name = name.isEmpty ? "rr" : name
    }

    /// True if the client's port counts beside its address: IP_VS_SVC_F_SCHED_MH_PORT of linux/ip_vs.h, without which
    /// `mh` sends all connections of a client to one real server.
    public var countsClientPort: Bool { name == "mh" }
}
