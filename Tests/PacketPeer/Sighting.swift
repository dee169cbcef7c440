import ProxyCore

/// Where a packet came out.
enum Sighting: Hashable {
    /// It left the node. The source is nil where it was kept, with its port.
    case forwarded(to: IPAddress, port: UInt16, from: IPAddress?)
    /// It was delivered to the node itself.
    case delivered(to: IPAddress, port: UInt16, from: IPAddress?)
    /// Its sender was told by ICMP that the destination is unreachable.
    case unreachable(code: UInt8)
    /// It came out with a wrong checksum.
    case damaged

    var isDelivered: Bool { if case .delivered = self { true } else { false } }
    var isUnreachable: Bool { if case .unreachable = self { true } else { false } }
}

extension Sighting: CustomStringConvertible {
    var description: String {
        switch self {
        case .forwarded(let address, let port, let source):
            "forwarded \(address) \(port) \(source?.description ?? "kept")"
        case .delivered(let address, let port, let source):
            "delivered \(address) \(port) \(source?.description ?? "kept")"
        case .unreachable(let code): "unreachable \(code)"
        case .damaged: "damaged"
        }
    }
}
