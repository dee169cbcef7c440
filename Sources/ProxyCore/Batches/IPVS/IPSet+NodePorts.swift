extension VirtualServer.Key {
    /// Where a virtual server for a node port stands among the sets. A set of ports is one of TCP or UDP to the rule that
    /// asks it.
    package var asNodePort: (set: IPSet, entry: IPSetEntry) {
        switch `protocol` {
        case .tcp: (.tcpNodePorts, .port(port))
        case .udp: (.udpNodePorts, .port(port))
        case .sctp: (.sctpNodePorts, .addressAndPort(self))
        }
    }
}

extension IPSet {
    package var isOfNodePorts: Bool { self == .tcpNodePorts || self == .udpNodePorts || self == .sctpNodePorts }
}
