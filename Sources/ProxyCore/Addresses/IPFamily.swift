/// An IP family. Rules of the two families are planned, rendered and committed apart.
public enum IPFamily: String, CaseIterable, Hashable, Sendable {
    case ipv4 = "IPv4"
    case ipv6 = "IPv6"

    /// The number of bits of an address: 32 or 128.
    public var bitWidth: Int { self == .ipv4 ? 32 : 128 }

    /// The family's name in file names: `v4` or `v6`.
    public var shortName: String { self == .ipv4 ? "v4" : "v6" }
}
