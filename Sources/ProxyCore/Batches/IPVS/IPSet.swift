/// The sets that the rules around the virtual servers look things up in (ipset(8)).
public enum IPSet: String, CaseIterable, Sendable {
    /// Cluster IPs with their ports.
    case clusterIPs = "CLUSTER-IP"
    /// External IPs whose packets are masqueraded, and those of policy Local, whose are not.
    case externalIPs = "EXTERNAL-IP"
    case localExternalIPs = "EXTERNAL-IP-LOCAL"
    case healthCheckNodePorts = "HEALTH-CHECK-NODE-PORT"
    /// Every address of `kube-ipvs0`.
    case serviceAddresses = "IPVS-IPS"
    /// Every load-balancer IP; those with source ranges; those of policy Local.
    case loadBalancerIPs = "LOAD-BALANCER"
    case guardedLoadBalancerIPs = "LOAD-BALANCER-FW"
    case localLoadBalancerIPs = "LOAD-BALANCER-LOCAL"
    /// The ranges that may use a load-balancer IP, and the IPs that may use themselves.
    case sourceRanges = "LOAD-BALANCER-SOURCE-CIDR"
    case sourceAddresses = "LOAD-BALANCER-SOURCE-IP"
    /// Endpoints of this node, which are masqueraded where they reach themselves.
    case hairpins = "LOOP-BACK"
    case localSCTPNodePorts = "NODE-PORT-LOCAL-SCTP-HASH"
    case localTCPNodePorts = "NODE-PORT-LOCAL-TCP"
    case localUDPNodePorts = "NODE-PORT-LOCAL-UDP"
    case sctpNodePorts = "NODE-PORT-SCTP-HASH"
    case tcpNodePorts = "NODE-PORT-TCP"
    case udpNodePorts = "NODE-PORT-UDP"

    /// What its entries consist of.
    public enum Kind: String, Sendable {
        case addresses = "hash:ip"
        case addressesAndPorts = "hash:ip,port"
        case pairs = "hash:ip,port,ip"
        case ranges = "hash:ip,port,net"
        case ports = "bitmap:port"
    }

    public var kind: Kind {
        switch self {
        case .serviceAddresses: .addresses
        case .hairpins, .sourceAddresses: .pairs
        case .sourceRanges: .ranges
        case .healthCheckNodePorts, .localTCPNodePorts, .localUDPNodePorts, .tcpNodePorts, .udpNodePorts: .ports
        default: .addressesAndPorts
        }
    }

    /// The most entries that a set of hashes is created for. A set that grows beyond refuses entries.
    public static let size = 65_536

    /// As the kernel knows it, which takes 31 characters (IPSET_MAXNAMELEN of linux/netfilter/ipset/ip_set.h).
    public func name(_ family: IPFamily) -> String {
        String(((family == .ipv4 ? "KUBE-" : "KUBE-6-") + rawValue).prefix(31))
    }

    /// Of the one that is filled before it takes the place of another.
    public static func nameAside(_ family: IPFamily) -> String { family == .ipv4 ? "KUBE-ASIDE" : "KUBE-6-ASIDE" }
}

/// An entry of a set.
public enum IPSetEntry: Hashable, Sendable {
    case address(IPAddress)
    case addressAndPort(VirtualServer.Key)
    /// The second is the other end.
    case pair(VirtualServer.Key, IPAddress)
    case range(VirtualServer.Key, CIDR)
    case port(UInt16)

    /// As ipset(8) spells it: `172.30.1.1,tcp:80,10.180.0.0/16`.
    public var text: String {
        func text(_ key: VirtualServer.Key) -> String {
            "\(key.address),\(key.protocol.lowercaseName):\(key.port)"
        }
        return switch self {
        case .address(let address): address.description
        case .addressAndPort(let key): text(key)
        case .pair(let key, let other): "\(text(key)),\(other)"
        case .range(let key, let range): "\(text(key)),\(range)"
        case .port(let port): "\(port)"
        }
    }
}
