/// A Node, reduced to what a proxy reads.
public struct Node: Hashable, Sendable {
    public var name: String
    /// The label `topology.kubernetes.io/zone`, empty if there is none.
    public var zone = ""
    public var podCIDRs: [CIDR] = []
    /// `status.addresses` of type InternalIP, in their order.
    public var internalIPs: [IPAddress] = []
    /// `status.addresses` of type ExternalIP, in their order.
    public var externalIPs: [IPAddress] = []

    public init(name: String) {
        self.name = name
    }
}

/// A ServiceCIDR: ranges from which cluster IPs are given out.
public struct ServiceCIDR: Hashable, Sendable {
    public var name: String
    public var cidrs: [CIDR]

    public init(name: String, cidrs: [CIDR]) {
        self.name = name
        self.cidrs = cidrs
    }
}
