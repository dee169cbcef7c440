/// Everything that was decided about one service port on this node, in one family.
///
/// A renderer spells it and `explain` walks it; neither decides anything.
public struct ServicePlan: Hashable, Sendable {
    /// A set of endpoints that traffic is spread over.
    public enum Pool: Hashable, Sendable {
        /// The endpoints for policy Cluster.
        case cluster
        /// The endpoints for policy Local: those on this node.
        case local
    }

    /// What becomes of a packet.
    public enum Verdict: Hashable, Sendable {
        /// It goes to an endpoint of the pool, each with the same chance. The pool can be empty (ipvs).
        case balance(Pool)
        case reject
        case drop
    }

    /// What a service port is reached by.
    public struct Doors: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let clusterIP = Doors(rawValue: 1)
        public static let externalIP = Doors(rawValue: 2)
        public static let loadBalancerIP = Doors(rawValue: 4)
        public static let nodePort = Doors(rawValue: 8)
        /// Those with an address of their own.
        public static let addresses: Doors = [.clusterIP, .externalIP, .loadBalancerIP]
        /// Those for packets from outside.
        public static let external: Doors = [.externalIP, .loadBalancerIP, .nodePort]
    }

    /// Which sources are masqueraded.
    public enum Masquerade: Hashable, Sendable {
        case nobody
        case everybody
        /// Sources that the local detector of the node plan does not recognise as pods.
        case notLocal
    }

    /// What becomes of packets to external IPs, load-balancer IPs and the node port.
    public struct ExternalTraffic: Hashable, Sendable {
        /// Of packets from outside.
        public let verdict: Verdict
        /// True if packets of this node's pods and of the node itself go to the cluster pool whatever `verdict` is;
        /// the node's are masqueraded.
        public let shortCircuitsLocalSources: Bool
        /// True if packets from outside are masqueraded.
        public let masquerades: Bool
    }

    /// Who may use the load-balancer IPs.
    public struct SourceRanges: Hashable, Sendable {
        public let cidrs: [CIDR]
        /// True if the node's own address is in a range: packets whose source is a load-balancer IP are the node's.
        public let admitNode: Bool
    }

    /// An endpoint and what it is used for.
    public struct Endpoint: Hashable, Sendable {
        public struct Roles: OptionSet, Hashable, Sendable {
            public let rawValue: UInt8
            public init(rawValue: UInt8) { self.rawValue = rawValue }

            public static let cluster = Roles(rawValue: 1)
            public static let local = Roles(rawValue: 2)
            /// Masqueraded when it reaches itself through the service.
            public static let hairpin = Roles(rawValue: 4)
            /// In at least one pool.
            public static let reachable: Roles = [.cluster, .local]
        }

        public let address: IPAddress
        public let port: UInt16
        public let roles: Roles
    }

    public let name: ServicePortName
    public let family: IPFamily
    public let clusterIP: IPAddress
    public let port: UInt16
    public let externalIPs: [IPAddress]
    public let loadBalancerIPs: [IPAddress]
    /// 0 if there is none.
    public let nodePort: UInt16
    /// 0 if there is none.
    public let healthCheckNodePort: UInt16
    /// Seconds that ClientIP affinity lasts; nil without affinity.
    public let affinitySeconds: Int?

    /// False if no endpoint anywhere in the cluster can be used.
    public let hasEndpoints: Bool
    /// What becomes of packets to the cluster IP.
    public let internalTraffic: Verdict
    public let internalMasquerade: Masquerade
    /// Nil if the service port can be reached by its cluster IP only.
    public let externalTraffic: ExternalTraffic?
    /// Nil if everybody may use the load-balancer IPs.
    public let sourceRanges: SourceRanges?
    /// Ordered by `ip:port` as text, bytewise.
    public let endpoints: [Endpoint]
    /// The number of endpoints of the service port in this family, usable or not: what the threshold of large
    /// clusters counts.
    public let endpointCount: Int
}

extension ServicePlan {
    /// True for what all else on a node leans on: the API server, which is Service default/kubernetes, and the cluster
    /// DNS, which is what serves port 53 in kube-system. They come first where it takes long to write everything.
    public var isEssential: Bool {
        let service = name.service
        return service.namespace == "default" && service.name == "kubernetes"
            || service.namespace == "kube-system" && port == 53
    }
}
