public import ProxyCore

/// What of the node and its configuration all virtual servers depend on.
public struct IPVSSettings: Hashable, Sendable {
    public var node: NodePlan
    public var scheduler: IPVSScheduler
    /// The addresses on which node ports are served, in the order of their texts.
    public var nodePortAddresses: [IPAddress]
    /// The addresses that the node has without us: they are not put on `kube-ipvs0`.
    public var nodeAddresses: Set<IPAddress>
    /// Virtual servers with an address in one of these are another program's, whatever else is true of them.
    public var excludedRanges: [CIDR]
    /// True if the node is not to answer for the addresses of `kube-ipvs0` where it is asked who has them (ARP).
    public var isARPStrict: Bool
    /// True in kernels that have to be told to serve connections from a port that was used before at once.
    public var setsReuseMode: Bool
    /// Nil where the configuration has none.
    public var timeouts: IPVSTimeouts?
    /// After which time a TCP endpoint that goes is deleted though it has connections; nil waits for their end.
    public var drainTimeout: Duration?

    /// - Parameter facts: the addresses without those of `kube-ipvs0`.
    public init(
        _ node: NodePlan, _ configuration: ProxyConfiguration.IPVS, facts: HostFacts, drainTimeout: Duration? = nil
    ) {
        self.node = node
        self.drainTimeout = drainTimeout
        scheduler = IPVSScheduler(configuration.scheduler)
        // IPVS does not ask by which link a link-local address is reached, and they come and go with every pod.
        let addresses = facts.addresses.filter { $0.family == node.family && !($0.family == .ipv6 && $0.isLinkLocal) }
        nodePortAddresses = node.nodePortAddresses(among: addresses).sorted { $0.description < $1.description }
        excludedRanges = configuration.excludeCIDRs
        isARPStrict = configuration.strictARP
        setsReuseMode = ConnectionReuse(release: facts.kernelRelease) == .bySetting
        // Zero keeps the kernel's value.
        func seconds(_ time: Duration) -> Int? { time > .zero ? max(1, Int(time.components.seconds)) : nil }
        let wanted = IPVSTimeouts(
            tcp: seconds(configuration.tcpTimeout), tcpFin: seconds(configuration.tcpFinTimeout),
            udp: seconds(configuration.udpTimeout))
        timeouts = wanted == IPVSTimeouts() ? nil : wanted
        nodeAddresses = Set(addresses)
    }
}
