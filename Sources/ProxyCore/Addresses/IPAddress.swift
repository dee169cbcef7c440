/// An IPv4 or IPv6 address.
///
/// An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is the IPv4 address: both are kept in the mapped form of
/// RFC 4291, section 2.5.5.2, so equality and hashing need no cases.
public struct IPAddress: Hashable, Sendable {
    /// The first and the last eight bytes, in host byte order.
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// An IPv4 address from its 32 bits in host byte order.
    public init(ipv4 bits: UInt32) {
        high = 0
        low = 0xffff_0000_0000 | UInt64(bits)
    }

    public var family: IPFamily { high == 0 && low >> 32 == 0xffff ? .ipv4 : .ipv6 }

    /// The 32 bits of an IPv4 address, in host byte order.
    package var ipv4Bits: UInt32 { UInt32(truncatingIfNeeded: low) }

    /// True in 127.0.0.0/8 and for ::1.
    public var isLoopback: Bool {
        family == .ipv4 ? ipv4Bits >> 24 == 127 : high == 0 && low == 1
    }

    /// True for 0.0.0.0 and ::.
    public var isUnspecified: Bool { family == .ipv4 ? ipv4Bits == 0 : high == 0 && low == 0 }

    /// True in 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291).
    public var isLinkLocal: Bool {
        family == .ipv4 ? ipv4Bits >> 16 == 0xa9fe : high >> 54 == 0xfe80 >> 6
    }

    /// The loopback address of a family: 127.0.0.1 or ::1.
    public static func loopback(_ family: IPFamily) -> IPAddress {
        family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(high: 0, low: 1)
    }
}

extension IPAddress: CustomStringConvertible {
    /// The address as RFC 5952 has it.
    public var description: String {
        String(unsafeUninitializedCapacity: 40) { buffer in
            var writer = AddressWriter(UnsafeMutableRawBufferPointer(buffer))
            writer.write(self)
            return writer.count
        }
    }
}

extension IPAddress: LosslessStringConvertible {
    /// Reads an address as Kubernetes does: leading zeros in IPv4 parts are decimal (`172.30.0.041` is
    /// `172.30.0.41`), zones are refused.
    public init?(_ text: String) {
        var text = text
        let parsed = text.withUTF8 { IPAddress(bytes: UnsafeRawBufferPointer($0)) }
        guard let parsed else { return nil }
        self = parsed
    }

    package init?(bytes: UnsafeRawBufferPointer) {
        if bytes.contains(UInt8(ascii: ":")) {
            self.init(ipv6: bytes)
        } else if let bits = Self.parseIPv4(bytes[...]) {
            self.init(ipv4: bits)
        } else {
            return nil
        }
    }

    private static func parseIPv4(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt32? {
        var bits: UInt32 = 0
        var part: UInt32 = 0
        var digits = 0
        var dots = 0
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                part = part * 10 + UInt32(byte - UInt8(ascii: "0"))
                digits += 1
                guard part <= 255 else { return nil }
            case UInt8(ascii: "."):
                guard digits > 0, dots < 3 else { return nil }
                bits = bits << 8 | part
                part = 0
                digits = 0
                dots += 1
            default: return nil
            }
        }
        guard dots == 3, digits > 0 else { return nil }
        return bits << 8 | part
    }

    private init?(ipv6 bytes: UnsafeRawBufferPointer) {
        var groups: [UInt16] = []
        var gap: Int?
        var index = bytes.startIndex
        let colon = UInt8(ascii: ":")
        if bytes.count >= 2, bytes[0] == colon {
            guard bytes[1] == colon else { return nil }
            gap = 0
            index = 2
        }
        while index < bytes.endIndex {
            let end = bytes[index...].firstIndex(of: colon) ?? bytes.endIndex
            if end == bytes.endIndex, bytes[index..<end].contains(UInt8(ascii: ".")) {
                guard let bits = Self.parseIPv4(bytes[index..<end]) else { return nil }
                groups.append(UInt16(bits >> 16))
                groups.append(UInt16(bits & 0xffff))
                index = end
                break
            }
            guard end > index, end - index <= 4, let group = Self.parseGroup(bytes[index..<end]) else { return nil }
            groups.append(group)
            guard groups.count <= 8 else { return nil }
            if end == bytes.endIndex { index = end; break }
            index = end + 1
            guard index < bytes.endIndex else { return nil }  // a colon at the end
            if bytes[index] == colon {
                guard gap == nil else { return nil }
                gap = groups.count
                index += 1
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        high = groups[0..<4].reduce(0) { $0 << 16 | UInt64($1) }
        low = groups[4..<8].reduce(0) { $0 << 16 | UInt64($1) }
    }

    private static func parseGroup(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt16? {
        var group: UInt16 = 0
        for byte in bytes {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            group = group << 4 | UInt16(digit)
        }
        return group
    }
}
