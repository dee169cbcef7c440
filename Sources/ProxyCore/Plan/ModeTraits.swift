/// How the modes differ, as properties: the only place that knows.
///
/// The facts behind each are in docs/modes.md. A renderer never asks for the mode; it spells what the plan says.
public struct ModeTraits: Hashable, Sendable {
    /// What becomes of traffic under policy Local when no endpoint is local but some are elsewhere.
    public enum LocalWithoutLocal: Hashable, Sendable {
        case drop
        /// The cluster's endpoints are used.
        case fallBackToCluster
    }

    /// Which endpoints are masqueraded when they reach themselves through their service.
    public enum HairpinScope: Hashable, Sendable {
        /// Every endpoint that this node sends traffic to.
        case reachable
        /// Those of them on this node.
        case reachableLocal
        /// Every endpoint on this node, ready or not.
        case everyLocal
    }

    /// Which service port has packets to a destination that several have.
    public enum SharedDestination: Hashable, Sendable {
        /// The first by name that sends the packet anywhere: rules are looked at one after the other.
        case firstThatTakes
        /// The last by name: under a key stands one element.
        case last
    }

    public let localWithoutLocal: LocalWithoutLocal
    /// True if packets to a service without endpoints are rejected; false if they meet an empty virtual server.
    public let rejectsWithoutEndpoints: Bool
    public let hairpin: HairpinScope
    /// True if source ranges are enforced for a service without endpoints as well.
    public let keepsSourceRangesWithoutEndpoints: Bool
    /// True if the node's own traffic to a load-balancer IP is dropped when the node is outside the source ranges.
    public let dropsNodeOutsideSourceRanges: Bool
    /// True if node ports can be had on loopback addresses (IPv4 only, and if the configuration wants it).
    public let servesNodePortsOnLoopback: Bool
    /// True if node ports without endpoints refuse on every address of the node, also where node ports are not served.
    public let refusesNodePortsEverywhere: Bool
    public let sharedDestination: SharedDestination
    /// True if virtual servers take packets, at addresses that the node has: then nothing tells its own packets and its
    /// pods' from others under policy Local, and ports that are no service of a service's address are rejected.
    public let hasVirtualServers: Bool
    let filter: FilterChecks
    /// What an empty `nodePortAddresses` means.
    public let defaultNodePortAddresses: ProxyConfiguration.NodePortAddresses

    /// True if packets to ports of a cluster IP that it does not have are rejected, and those to cluster IPs that no
    /// Service has are dropped; false if they are left alone.
    public var guardsClusterIPs: Bool { filter.forward.contains(.clusterIPs) }
}

extension ProxyMode {
    public var traits: ModeTraits {
        switch self {
        case .iptables:
            ModeTraits(
                localWithoutLocal: .drop, rejectsWithoutEndpoints: true, hairpin: .reachable,
                keepsSourceRangesWithoutEndpoints: false, dropsNodeOutsideSourceRanges: false,
                servesNodePortsOnLoopback: true, refusesNodePortsEverywhere: true,
                sharedDestination: .firstThatTakes, hasVirtualServers: false, filter: .iptables,
                defaultNodePortAddresses: .cidrs([]))
        case .ipvs:
            ModeTraits(
                localWithoutLocal: .fallBackToCluster, rejectsWithoutEndpoints: false, hairpin: .everyLocal,
                keepsSourceRangesWithoutEndpoints: true, dropsNodeOutsideSourceRanges: true,
                servesNodePortsOnLoopback: false, refusesNodePortsEverywhere: false, sharedDestination: .last,
                // A walk asks what virtual servers and sets do instead.
                hasVirtualServers: true, filter: FilterChecks(), defaultNodePortAddresses: .cidrs([]))
        case .nftables:
            ModeTraits(
                localWithoutLocal: .drop, rejectsWithoutEndpoints: true, hairpin: .reachableLocal,
                keepsSourceRangesWithoutEndpoints: true, dropsNodeOutsideSourceRanges: false,
                servesNodePortsOnLoopback: false, refusesNodePortsEverywhere: false, sharedDestination: .last,
                hasVirtualServers: false, filter: .nftables, defaultNodePortAddresses: .primary)
        }
    }
}
