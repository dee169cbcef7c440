/// What a mode's rules do with packets beside translating them: lists of checks, of which the first that has an answer
/// ends the way of a packet.
struct FilterChecks: Hashable, Sendable {
    enum Check: Hashable, Sendable {
        /// Drops packets of other addresses to loopback ones while node ports are served there.
        case loopback
        /// Drops packets to load-balancer IPs from sources that their ranges do not admit.
        case sourceRanges
        /// Drops packets to load-balancer IPs with source ranges: those that were admitted are translated by now.
        case guardedLoadBalancerIPs
        /// Refuses packets to service ports that cannot spread them.
        case refusals(ServicePlan.Doors)
        /// Accepts packets to health-check node ports.
        case healthChecks
        /// Accepts packets that are marked for masquerade.
        case masqueraded
        /// Rejects packets to other ports of cluster IPs, and drops those to cluster IPs that no Service has.
        case clusterIPs
    }

    /// In the hooks that translate, before they do.
    var beforeTranslation: [Check] = []
    var input: [Check] = []
    var forward: [Check] = []
    var output: [Check] = []
    /// What the tracer asks of packets that were not translated, whichever way they would go (`WalkOrder.tracer`).
    var tracer: [Check] = []

    /// The filter chains KUBE-FIREWALL, KUBE-PROXY-FIREWALL, KUBE-NODEPORTS, KUBE-FORWARD, KUBE-SERVICES and
    /// KUBE-EXTERNAL-SERVICES, in the order of the jumps to them.
    static let iptables = FilterChecks(
        input: [.loopback, .guardedLoadBalancerIPs, .healthChecks, .refusals(.external)],
        forward: [.guardedLoadBalancerIPs, .masqueraded, .refusals(.clusterIP), .refusals(.external)],
        output: [.loopback, .guardedLoadBalancerIPs, .refusals(.clusterIP)],
        tracer: [.refusals(.clusterIP), .refusals(.external), .healthChecks, .guardedLoadBalancerIPs])

    /// The chains firewall-check, nodeport-endpoints-check, service-endpoints-check and cluster-ips-check, in the order
    /// of the jumps to them.
    static let nftables = FilterChecks(
        beforeTranslation: [.sourceRanges],
        input: [.refusals(.nodePort), .refusals(.addresses)],
        forward: [.refusals(.addresses), .clusterIPs],
        output: [.refusals(.addresses), .clusterIPs],
        tracer: [.refusals(.addresses), .clusterIPs, .refusals(.nodePort)])
}
