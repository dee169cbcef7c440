import NameHash
import ProxyCore

/// The chains that a service port can have of its own.
enum ServiceChain {
    /// The endpoints for policy Cluster.
    case cluster
    /// The endpoints for policy Local.
    case local
    /// Traffic to external IPs, load-balancer IPs and the node port.
    case external
    /// Source ranges of the load-balancer IPs.
    case firewall

    var prefix: StaticString {
        switch self {
        case .cluster: "KUBE-SVC-"
        case .local: "KUBE-SVL-"
        case .external: "KUBE-EXT-"
        case .firewall: "KUBE-FW-"
        }
    }

    /// The prefixes of every chain that belongs to a service port: a chain named so that no plan asks for is stale.
    static let ownedPrefixes = IPTablesChainNames.servicePrefixes + [IPTablesChainNames.endpointPrefix]
}
