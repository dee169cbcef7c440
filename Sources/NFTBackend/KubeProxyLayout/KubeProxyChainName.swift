import NameHash
import ProxyCore

/// The part that the names of all chains and sets of a service port, or of an endpoint, have in common.
///
/// Eight characters of a hash keep names apart that are cut short.
struct KubeProxyChainName {
    /// The most bytes that the part after a prefix has: nf_tables takes names below 256 (NFT_NAME_MAXLEN).
    private static let maxLength = 240

    private let base: String
    private let hashed: String

    /// `HASH-namespace/name/protocol/port`
    init(_ name: ServicePortName) {
        self.init(base: "\(name.service)/\(name.protocol.lowercaseName)/\(name.port)")
    }

    private init(base: String) {
        self.base = base
        var text = base
        let hash = text.withUTF8 { NameHash(of: UnsafeRawBufferPointer($0)) }
        let name = "\(hash.description.prefix(8))-\(base)"
        if name.utf8.count > Self.maxLength {
            hashed = String(decoding: name.utf8.prefix(Self.maxLength - 3), as: UTF8.self) + "..."
        } else {
            hashed = name
        }
    }

    /// `HASH-namespace/name/protocol/port__address/port`, with dots for the colons of an address.
    func of(_ endpoint: ServicePlan.Endpoint) -> KubeProxyChainName {
        let address = endpoint.address.description.replacing(":", with: ".")
        return KubeProxyChainName(base: "\(base)__\(address)/\(endpoint.port)")
    }

    /// The endpoints for policy Cluster.
    var service: String { "service-\(hashed)" }
    /// The endpoints for policy Local.
    var local: String { "local-\(hashed)" }
    /// Traffic to external IPs, load-balancer IPs and the node port.
    var external: String { "external-\(hashed)" }
    /// Source ranges of the load-balancer IPs.
    var firewall: String { "firewall-\(hashed)" }
    /// An endpoint of a service port with affinity.
    var endpoint: String { "endpoint-\(hashed)" }
    /// The set of the clients that an endpoint had last.
    var affinity: String { "affinity-\(hashed)" }

    func chain(of pool: ServicePlan.Pool) -> String { pool == .cluster ? service : local }
}
