import NameHash
import ProxyCore

/// The names that kube-proxy gives in nftables mode: the first 8 characters of the hash of a text, then the text.
enum KubeProxyName {
    static let clusterIPs = "cluster-ips"
    static let hairpins = "hairpin-connections"
    static let nodePortIPs = "nodeport-ips"
    static let firewallIPs = "firewall-ips"
    static let noEndpointNodePorts = "no-endpoint-nodeports"
    static let noEndpointServices = "no-endpoint-services"
    static let serviceIPs = "service-ips"
    static let serviceNodePorts = "service-nodeports"

    static let services = "services"
    static let masquerading = "masquerading"
    static let reject = "reject-chain"
    static let firewallCheck = "firewall-check"
    static let clusterIPsCheck = "cluster-ips-check"
    static let nodePortEndpointsCheck = "nodeport-endpoints-check"
    static let serviceEndpointsCheck = "service-endpoints-check"

    /// `service-`, `local-`, `external-` or `firewall-` and what names the service port.
    static func own(_ prefix: String, _ name: ServicePortName) -> String { hashed(prefix, base(name)) }

    /// `endpoint-` or `affinity-` and what names an endpoint of a service port.
    static func own(_ prefix: String, _ name: ServicePortName, _ endpoint: ServicePlan.Endpoint) -> String {
        // A colon has a meaning in nft's language.
        let address = String(endpoint.address.description.map { $0 == ":" ? "." : $0 })
        return hashed(prefix, "\(base(name))__\(address)/\(endpoint.port)")
    }

    private static func base(_ name: ServicePortName) -> String {
        "\(name.service)/\(name.protocol.lowercaseName)/\(name.port)"
    }

    private static let limit = 240

    private static func hashed(_ prefix: String, _ base: String) -> String {
        var text = base
        let hash = text.withUTF8 { NameHash(of: UnsafeRawBufferPointer($0)) }.description.prefix(8)
        let name = "\(prefix)\(hash)-\(base)"
        guard name.utf8.count > limit else { return name }
        return String(decoding: name.utf8.prefix(limit - 3), as: UTF8.self) + "..."
    }
}
