public import ProxyCore

/// What a rule reads from a packet, its connection or its surroundings (nft(8), PAYLOAD EXPRESSIONS, META EXPRESSIONS,
/// CT EXPRESSIONS, FIB EXPRESSIONS, NUMGEN EXPRESSION).
///
/// Addresses are those of the table's family.
public enum NFTField: Hashable, Sendable {
    /// `ip saddr`, `ip6 saddr`.
    case sourceAddress
    /// `ip daddr`, `ip6 daddr`.
    case destinationAddress
    /// `ct original ip saddr`: as the connection's first packet had it before any translation.
    case originalSourceAddress
    /// `ct original ip daddr`.
    case originalDestinationAddress
    /// `meta l4proto`.
    case transportProtocol
    /// `th dport`, whatever the protocol.
    case destinationPort
    /// `tcp dport`, `udp dport`, `sctp dport`: other packets do not match.
    case destinationPortOf(TransportProtocol)
    /// `iifname`.
    case inputInterface
    /// `numgen random mod MODULUS offset OFFSET`: OFFSET to OFFSET + MODULUS - 1.
    case random(modulus: UInt32, offset: UInt32 = 0)
    /// `fib saddr type`, of which only `local` is asked.
    case sourceAddressType
    /// `fib daddr type`.
    case destinationAddressType
    /// `ct state`, of which only `new` is asked.
    case connectionState
    /// `ct status`, of which only `dnat` is asked.
    case connectionStatus
}

/// A value of a key, of a datum, or of a comparison.
public enum NFTValue: Hashable, Sendable {
    case address(IPAddress)
    case `protocol`(TransportProtocol)
    case port(UInt16)
    /// An index in the number space of `numgen`.
    case number(UInt32)
}

/// The type of one part of a key or a datum (nft(8), DATA TYPES).
public enum NFTType: Hashable, Sendable {
    /// `ipv4_addr` or `ipv6_addr`, by the table's family.
    case address
    /// `inet_proto`.
    case `protocol`
    /// `inet_service`.
    case port
    /// What `numgen` gives; written as `typeof … numgen random mod 2`, as no type's name can be used for it.
    case number
}
