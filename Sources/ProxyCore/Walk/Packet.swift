/// The first packet of a connection.
public struct Packet: Hashable, Sendable {
    public var source: IPAddress
    public var `protocol`: TransportProtocol
    public var destination: IPAddress
    public var port: UInt16
    /// The interface that it comes in by; nil if that is not known, or if it comes from the node itself.
    public var inInterface: String?

    /// Nil if the addresses are of different families.
    public init?(
        from source: IPAddress, to destination: IPAddress, port: UInt16, protocol: TransportProtocol,
        inInterface: String? = nil
    ) {
        guard source.family == destination.family else { return nil }
        self.source = source
        self.protocol = `protocol`
        self.destination = destination
        self.port = port
        self.inInterface = inInterface
    }

    public var family: IPFamily { destination.family }
}

/// The addresses that a node takes for its own: what iptables calls type LOCAL.
public struct LocalAddresses: Hashable, Sendable {
    private let addresses: Set<IPAddress>
    /// Those that other hosts know the node by, in their order.
    private let reachable: [IPAddress]

    public init(_ addresses: some Collection<IPAddress>) {
        self.addresses = Set(addresses)
        reachable = addresses.filter { !$0.isLoopback && !$0.isLinkLocal }
    }

    /// The addresses of a family that other hosts know the node by, in the order in which they were given.
    public func reachable(_ family: IPFamily) -> [IPAddress] { reachable.filter { $0.family == family } }

    /// All of 127.0.0.0/8 is local wherever the loopback interface is up.
    public func contains(_ address: IPAddress) -> Bool { address.isLoopback || addresses.contains(address) }
}

/// The order in which a walk comes to the chains.
public enum WalkOrder: Hashable, Sendable {
    /// As a host does: its hooks, chosen by where the packet comes from and where it goes.
    case host
    /// As the tracer does that made the flows tables of the golden clusters, whichever way the packet would go on a
    /// host: the nat rules of arriving packets, then, if no endpoint was reached, filter chains. In iptables mode these
    /// are KUBE-SERVICES, KUBE-EXTERNAL-SERVICES, KUBE-NODEPORTS and KUBE-PROXY-FIREWALL; in nftables mode those of the
    /// hooks forward and input, and those that are asked before translation come first.
    case tracer
}
