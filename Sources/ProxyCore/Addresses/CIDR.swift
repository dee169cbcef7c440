/// An address range: a prefix, printed masked.
public struct CIDR: Hashable, Sendable {
    /// The first address of the range.
    public let base: IPAddress
    /// The number of leading bits that are fixed: 0 to 32 or 0 to 128.
    public let prefixLength: Int

    public init?(base: IPAddress, prefixLength: Int) {
        guard (0...base.family.bitWidth).contains(prefixLength) else { return nil }
        self.init(base, masked: prefixLength)
    }

    private init(_ base: IPAddress, masked prefixLength: Int) {
        self.base = base.masked(to: prefixLength)
        self.prefixLength = prefixLength
    }

    /// The range of one address.
    public init(_ address: IPAddress) {
        base = address
        prefixLength = address.family.bitWidth
    }

    public var family: IPFamily { base.family }

    /// 0.0.0.0/0 or ::/0.
    public static func everything(_ family: IPFamily) -> CIDR {
        CIDR(family == .ipv4 ? IPAddress(ipv4: 0) : IPAddress(high: 0, low: 0), masked: 0)
    }

    /// True for 0.0.0.0/0 and ::/0.
    public var isEverything: Bool { prefixLength == 0 }

    public func contains(_ address: IPAddress) -> Bool {
        address.family == family && address.masked(to: prefixLength) == base
    }
}

extension CIDR: CustomStringConvertible, LosslessStringConvertible {
    public var description: String { "\(base)/\(prefixLength)" }

    /// Reads `ADDRESS/LENGTH`, with the address read as Kubernetes does. White space is not trimmed.
    ///
    /// The length of an IPv4-mapped IPv6 range counts 128 bits; below 96 such a range has no IPv4 form and is refused.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(String(parts[0])), (1...3).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy({ (48...57).contains($0) }), var length = Int(parts[1])
        else { return nil }
        if address.family == .ipv4, parts[0].utf8.contains(UInt8(ascii: ":")) { length -= 96 }
        self.init(base: address, prefixLength: length)
    }
}

extension IPAddress {
    /// The address with all but the first `length` bits of its family cleared.
    package func masked(to length: Int) -> IPAddress {
        let kept = family == .ipv4 ? length + 96 : length
        let high = kept >= 64 ? high : kept == 0 ? 0 : high & ~UInt64(0) << UInt64(64 - kept)
        let low = kept >= 128 ? low : kept <= 64 ? 0 : low & ~UInt64(0) << UInt64(128 - kept)
        return IPAddress(high: high, low: low)
    }
}
