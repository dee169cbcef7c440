/// What the host knows about itself, beside its Node object.
public struct HostFacts: Hashable, Sendable {
    /// The addresses of its interfaces, loopback included.
    public var addresses: [IPAddress]
    /// True if `nf_conntrack_tcp_be_liberal` is not 0: connection tracking then calls fewer packets invalid.
    public var conntrackIsLiberal: Bool
    /// True if `MASQUERADE --random-fully` is known: iptables 1.6.2 and later.
    public var masqueradesRandomly: Bool
    /// Such as `6.1.0-18-amd64` (uname(2)); empty where it is not known.
    public var kernelRelease: String

    public init(
        addresses: [IPAddress], conntrackIsLiberal: Bool, masqueradesRandomly: Bool, kernelRelease: String = ""
    ) {
        self.addresses = addresses
        self.conntrackIsLiberal = conntrackIsLiberal
        self.masqueradesRandomly = masqueradesRandomly
        self.kernelRelease = kernelRelease
    }

    /// What is taken for granted about a node that only its Node object tells of.
    public init(of node: Node?) {
        self.init(
            addresses: (node.map { $0.internalIPs + $0.externalIPs } ?? [])
                + IPFamily.allCases.map(IPAddress.loopback),
            conntrackIsLiberal: false, masqueradesRandomly: true)
    }
}

/// Everything that was decided about this node in one family, apart from its services.
public struct NodePlan: Hashable, Sendable {
    /// How packets of this cluster's pods are told from others.
    public enum LocalDetector: Hashable, Sendable {
        case none
        case source(CIDR)
        case bridge(String)
        case interfacePrefix(String)
    }

    /// The addresses on which node ports are served.
    public enum NodePortScope: Hashable, Sendable {
        case everyLocalAddress(exceptLoopback: Bool)
        /// In the order of their texts, bytewise.
        case addresses([IPAddress])
    }

    /// What the plans of services depend on.
    public let context: PlanContext
    public let localDetector: LocalDetector
    public let nodePorts: NodePortScope
    /// True if packets from other hosts to loopback addresses must be dropped: `route_localnet` is on for node ports.
    public let guardsLoopback: Bool
    /// The mark that asks for masquerade, one bit.
    public let masqueradeMark: UInt32
    public let masqueradesRandomly: Bool
    /// True if forwarded packets that connection tracking calls invalid are dropped.
    public let dropsInvalid: Bool

    public var family: IPFamily { context.family }

    /// True if node ports are served on an address, which is one of the node's.
    func servesNodePorts(on address: IPAddress) -> Bool {
        switch nodePorts {
        case .everyLocalAddress(let exceptLoopback): !(exceptLoopback && address.isLoopback)
        case .addresses(let addresses): addresses.contains(address)
        }
    }

    /// - Parameters:
    ///   - nodeName: the name by which endpoints are recognised as local.
    ///   - node: the node's object, if one is known.
    public init(
        _ configuration: ProxyConfiguration, mode: ProxyMode, family: IPFamily, nodeName: String, node: Node?,
        facts: HostFacts
    ) {
        let traits = mode.traits
        let detector = Self.localDetector(configuration, family, node)
        let nodeIP = Self.nodeIP(configuration, family, node)
        let masquerade = configuration.masquerade(in: mode)
        let ranges = Self.nodePortRanges(configuration, traits, family, nodeIP)
        let servesLoopback =
            family == .ipv4 && traits.servesNodePortsOnLoopback && configuration.iptables.localhostNodePorts
            && ranges.contains { $0.overlapsLoopback }

        context = PlanContext(
            family: family, traits: traits, nodeName: nodeName, zone: node?.zone ?? "", nodeIP: nodeIP,
            masqueradeAll: masquerade.all, detectsLocalTraffic: detector != .none,
            allowsExternalIPs: configuration.allowsServiceExternalIPs)
        localDetector = detector
        if ranges.contains(where: \.isEverything) {
            nodePorts = .everyLocalAddress(exceptLoopback: !servesLoopback)
        } else {
            let matching = Set(facts.addresses).filter { address in
                (!address.isLoopback || servesLoopback) && ranges.contains { $0.contains(address) }
            }
            nodePorts = .addresses(matching.sorted { $0.description < $1.description })
        }
        guardsLoopback = servesLoopback
        masqueradeMark = 1 << UInt32(masquerade.bit)
        masqueradesRandomly = facts.masqueradesRandomly
        dropsInvalid = !facts.conntrackIsLiberal
    }

    private static func localDetector(
        _ configuration: ProxyConfiguration, _ family: IPFamily, _ node: Node?
    ) -> LocalDetector {
        switch configuration.detectLocalMode {
        case .clusterCIDR:
            configuration.clusterCIDRs.first { $0.family == family }.map(LocalDetector.source) ?? .none
        case .nodeCIDR:
            node?.podCIDRs.first { $0.family == family }.map(LocalDetector.source) ?? .none
        case .bridgeInterface: .bridge(configuration.bridgeInterface)
        case .interfaceNamePrefix: .interfacePrefix(configuration.interfaceNamePrefix)
        }
    }

    /// The bind address if it is one, else the Node's first internal, then external address, else loopback.
    private static func nodeIP(_ configuration: ProxyConfiguration, _ family: IPFamily, _ node: Node?) -> IPAddress {
        let bind = configuration.bindAddress
        if bind.family == family, !bind.isUnspecified { return bind }
        let known = (node?.internalIPs ?? []) + (node?.externalIPs ?? [])
        return known.first { $0.family == family } ?? .loopback(family)
    }

    /// The ranges of the family; all of it if the configuration has none of the family.
    private static func nodePortRanges(
        _ configuration: ProxyConfiguration, _ traits: ModeTraits, _ family: IPFamily, _ nodeIP: IPAddress
    ) -> [CIDR] {
        var setting = configuration.nodePortAddresses
        if setting == .unset { setting = traits.defaultNodePortAddresses }
        let ranges: [CIDR] =
            switch setting {
            case .primary: nodeIP.isLoopback ? [] : [CIDR(nodeIP)]
            case .cidrs(let cidrs): cidrs.filter { $0.family == family }
            case .unset: []
            }
        return ranges.isEmpty ? [.everything(family)] : ranges
    }
}

extension ProxyConfiguration {
    /// Whether everything is masqueraded, and by which bit of the mark, in a mode. ipvs has both from the `iptables`
    /// block.
    func masquerade(in mode: ProxyMode) -> (all: Bool, bit: Int) {
        switch mode {
        case .iptables, .ipvs: (iptables.masqueradeAll, iptables.masqueradeBit)
        case .nftables: (nftables.masqueradeAll, nftables.masqueradeBit)
        }
    }
}

extension CIDR {
    /// True if an IPv4 range lies in 127.0.0.0/8 or has its first address.
    var overlapsLoopback: Bool {
        family == .ipv4 && (base.isLoopback || contains(IPAddress(ipv4: 0x7f00_0000)))
    }
}
