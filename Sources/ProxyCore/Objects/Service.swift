/// A Service, reduced to what a proxy reads.
///
/// What a field means is told by the Kubernetes API reference, `ServiceSpec`.
public struct Service: Hashable, Sendable {
    public enum Kind: String, Sendable {
        case clusterIP = "ClusterIP", nodePort = "NodePort", loadBalancer = "LoadBalancer", externalName =
            "ExternalName"
    }

    public enum TrafficPolicy: String, Sendable { case cluster = "Cluster", local = "Local" }

    /// One entry of `spec.ports`.
    public struct Port: Hashable, Sendable {
        public var name: String
        public var `protocol`: TransportProtocol
        public var number: UInt16
        /// 0 if there is none.
        public var nodePort: UInt16

        public init(name: String, protocol: TransportProtocol, number: UInt16, nodePort: UInt16 = 0) {
            self.name = name
            self.protocol = `protocol`
            self.number = number
            self.nodePort = nodePort
        }
    }

    public var name: ObjectName
    public var kind: Kind = .clusterIP
    /// The cluster IP of each family, at most one each. Empty for a headless Service.
    public var clusterIPs: [IPAddress] = []
    public var ports: [Port] = []
    public var externalIPs: [IPAddress] = []
    /// Addresses of `status.loadBalancer.ingress` whose mode is VIP.
    public var loadBalancerIPs: [IPAddress] = []
    public var loadBalancerSourceRanges: [CIDR] = []
    public var externalTrafficPolicy: TrafficPolicy = .cluster
    public var internalTrafficPolicy: TrafficPolicy = .cluster
    /// Seconds that ClientIP affinity lasts; nil without affinity.
    public var affinitySeconds: Int?
    /// 0 if there is none.
    public var healthCheckNodePort: UInt16 = 0
    /// True if the label `service.kubernetes.io/service-proxy-name` leaves the Service to another proxy.
    public var isForAnotherProxy = false

    public init(name: ObjectName) {
        self.name = name
    }

    /// True if this proxy makes rules for the Service: not ExternalName, not headless, not another proxy's.
    public var isProxied: Bool { kind != .externalName && !clusterIPs.isEmpty && !isForAnotherProxy }
}
