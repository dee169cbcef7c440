/// An address and a port: one end of a flow.
public struct TransportAddress: Hashable, Sendable {
    public let address: IPAddress
    public let port: UInt16

    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

extension TransportAddress: CustomStringConvertible {
    /// `10.0.0.1:53` or `[2001:db8::1]:53`
    public var description: String {
        address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
}

/// What connection tracking remembers of a UDP flow, as far as a proxy is concerned with it.
///
/// The kernel looks rules of the nat table up for the first packet of a flow only; all later ones go where that one
/// went, for as long as the client keeps sending.
public struct UDPFlow: Hashable, Sendable {
    /// Where the client sends to.
    public let destination: TransportAddress
    /// Where answers come from: the endpoint that was chosen, or `destination` if the flow was not translated.
    public let replySource: TransportAddress

    public init(destination: TransportAddress, replySource: TransportAddress) {
        self.destination = destination
        self.replySource = replySource
    }

    public var isTranslated: Bool { replySource != destination }
}
