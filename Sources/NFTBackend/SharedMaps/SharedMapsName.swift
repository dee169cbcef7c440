import NameHash
import ProxyCore

/// The names of what the layout always has.
enum SharedMapsName {
    static let table = NFTablesNames.sharedMaps
    static let tableComment = "rules for Switchyard"
    /// The table of kube-proxy, and of our layout that is equal to it.
    static let kubeProxyTable = NFTablesNames.kubeProxy

    static let clusterIPs = "cluster-ips"
    static let hairpins = "hairpin-connections"
    static let nodePortIPs = "nodeport-ips"
    static let serviceIPs = "service-ips"
    static let serviceNodePorts = "service-nodeports"
    static let noEndpointServices = "no-endpoint-services"
    static let noEndpointNodePorts = "no-endpoint-nodeports"
    static let firewallIPs = "firewall-ips"
    static let serviceCounters = "service-counters"
    static let nodePortCounters = "nodeport-counters"
    static let picks = "picks"
    static let affinity = "affinity"

    static let services = "services"
    static let nodePorts = "nodeports"
    static let reject = "reject-it"

    /// The map of the endpoints that a protocol's service addresses or node ports have.
    static func endpoints(_ entrance: Entrance, _ transport: TransportProtocol) -> String {
        // Literals, as tens of thousands of elements share them.
        switch (entrance, transport) {
        case (.address, .tcp): "endpoints-tcp"
        case (.address, .udp): "endpoints-udp"
        case (.address, .sctp): "endpoints-sctp"
        case (.nodePort, .tcp): "nodeport-endpoints-tcp"
        case (.nodePort, .udp): "nodeport-endpoints-udp"
        case (.nodePort, .sctp): "nodeport-endpoints-sctp"
        }
    }

    static func endpointIDs(_ pool: ServicePlan.Pool) -> String {
        pool == .cluster ? "endpoint-ids" : "local-endpoint-ids"
    }

    /// The name of a chain or counter of a service port's own. Long ones are cut and told apart by a hash: the kernel
    /// takes 255 bytes.
    static func own(_ prefix: String, _ name: ServicePortName) -> String {
        let text = "\(name.service)/\(name.protocol.lowercaseName)/\(name.port)"
        guard text.utf8.count > 200 else { return prefix + text }
        var bytes = text
        let hash = bytes.withUTF8 { NameHash(of: UnsafeRawBufferPointer($0)) }
        return "\(prefix)\(text.prefix(180))-\(hash)"
    }

    static func counter(_ name: ServicePortName) -> String { own("service-", name) }

    /// What the comment of an element says: nft takes 128 bytes.
    static func comment(_ name: ServicePortName) -> String {
        let text = name.description
        return text.utf8.count <= 128 ? text : text.prefix(125) + "..."
    }
}

/// What a packet reaches a service by: an address of the service, or a port of the node.
enum Entrance: Hashable {
    case address, nodePort
}

extension ServicePlan.Pool {
    /// The first index of the pool's list: both lists of a service stand under one key.
    var offset: UInt32 { self == .cluster ? 0 : UInt32(ListSize.limit) }
}
