/// A transport protocol that a Service port can have.
public enum TransportProtocol: String, CaseIterable, Hashable, Sendable {
    case sctp = "SCTP"
    case tcp = "TCP"
    case udp = "UDP"

    /// The name as rules and chain names have it: `tcp`, `udp` or `sctp`.
    public var lowercaseName: StaticString {
        switch self {
        case .sctp: "sctp"
        case .tcp: "tcp"
        case .udp: "udp"
        }
    }
}

extension TransportProtocol: Comparable {
    /// Bytewise by name: SCTP, TCP, UDP.
    public static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }

    private var rank: Int {
        switch self {
        case .sctp: 0
        case .tcp: 1
        case .udp: 2
        }
    }
}
