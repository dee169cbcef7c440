import ProxyCore

// What both layouts match by the plan of the node.
extension NodePlan {
    /// Matches the packets of this cluster's pods, or all others; nil if nothing tells them apart.
    func localSourceMatch(isNot: Bool) -> NFTStatement? {
        switch localDetector {
        case .none: nil
        case .source(let range): .matchAddress(.sourceAddress, range, isNot: isNot)
        case .bridge(let name): .matchInterface(name, isNot: isNot)
        case .interfacePrefix(let prefix): .matchInterface(prefix + "*", isNot: isNot)
        }
    }

    /// Whether a packet to an address of this node may be for a node port.
    ///
    /// - Parameter set: has the addresses that serve node ports, where only some do.
    func nodePortMatch(set: String) -> [NFTStatement] {
        switch nodePorts {
        case .addresses: [.matchSet([.destinationAddress], set: set)]
        case .everyLocalAddress(exceptLoopback: false): []
        case .everyLocalAddress(exceptLoopback: true):
            [.matchAddress(.destinationAddress, .loopback(family), isNot: true)]
        }
    }
}

extension CIDR {
    /// The addresses that never leave a host: 127.0.0.0/8 or ::1/128.
    static func loopback(_ family: IPFamily) -> CIDR {
        let address = IPAddress.loopback(family)
        return CIDR(base: address, prefixLength: family == .ipv4 ? 8 : 128) ?? CIDR(address)
    }
}
