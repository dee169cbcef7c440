extension VirtualServer {
    /// An entry that tells of a virtual server.
    package typealias Place = (set: IPSet, entry: IPSetEntry)
}

extension VirtualServer.Key {
    /// Where a virtual server for a node port stands among the sets. A set of ports is one of TCP or UDP to the rule that
    /// asks it.
    package var asNodePort: VirtualServer.Place {
        switch `protocol` {
        case .tcp: (.tcpNodePorts, .port(port))
        case .udp: (.udpNodePorts, .port(port))
        case .sctp: (.sctpNodePorts, .addressAndPort(self))
        }
    }

    /// Where a virtual server may stand among the sets, whatever it is for.
    package var places: [VirtualServer.Place] {
        [asNodePort] + IPSet.ofServers.map { ($0, .addressAndPort(self)) }
    }

    /// Those of them that name its address too.
    package var placesByAddress: [VirtualServer.Place] { places.filter { $0.entry == .addressAndPort(self) } }
}

extension IPSet {
    /// Those of the addresses and ports at which services are.
    fileprivate static let ofServers: [IPSet] = [.clusterIPs, .externalIPs, .localExternalIPs, .loadBalancerIPs]

    /// True for a set that tells whose a virtual server is at an address that the node has anyway.
    package var namesServers: Bool {
        Self.ofServers.contains(self) || self == .tcpNodePorts || self == .udpNodePorts || self == .sctpNodePorts
    }
}
