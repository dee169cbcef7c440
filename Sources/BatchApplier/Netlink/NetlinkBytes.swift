/// Numbers as netlink has them: nothing is read beyond the bytes at hand, and nil stands for what is not there.
///
/// Headers are in the byte order of the host, most attributes of netfilter in that of the network.
extension ArraySlice<UInt8> {
    /// The first bytes as a number of the host's byte order; `offset` counts from the start of the slice.
    package func hostEndian<Number: FixedWidthInteger>(_ type: Number.Type = Number.self, at offset: Int = 0) -> Number?
    {
        let size = MemoryLayout<Number>.size
        guard offset >= 0, count >= size, offset <= count - size else { return nil }
        return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
    }

    package func bigEndian<Number: FixedWidthInteger>(_ type: Number.Type = Number.self, at offset: Int = 0) -> Number?
    {
        hostEndian(type, at: offset).map(Number.init(bigEndian:))
    }

    /// A string, which the kernel ends with a zero byte or, in some attributes, with the attribute itself.
    package var string: String { String(decoding: prefix { $0 != 0 }, as: UTF8.self) }
}

/// One attribute of a netlink message.
package struct NetlinkAttribute: Sendable {
    /// Without the bits `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
    package let type: UInt16
    package let payload: ArraySlice<UInt8>

    /// What it holds, if it is a nest.
    package var nested: NetlinkAttributes { NetlinkAttributes(payload) }
}

/// The attributes in a range of bytes. They end with the bytes, or before the first one whose length cannot be.
package struct NetlinkAttributes: Sequence, Sendable {
    private let bytes: ArraySlice<UInt8>

    package init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
    }

    package func makeIterator() -> Iterator { Iterator(rest: bytes) }

    /// The first attribute of a type.
    package subscript(type: Int) -> NetlinkAttribute? { first { Int($0.type) == type } }

    package struct Iterator: IteratorProtocol {
        fileprivate var rest: ArraySlice<UInt8>

        package mutating func next() -> NetlinkAttribute? {
            guard let length = rest.hostEndian(UInt16.self).map(Int.init),
                let type = rest.hostEndian(UInt16.self, at: 2),
                length >= NetlinkLayout.attributeHeader, length <= rest.count
            else { return nil }
            let payload = rest.prefix(length).dropFirst(NetlinkLayout.attributeHeader)
            rest = rest.dropFirst(NetlinkLayout.aligned(length))
            return NetlinkAttribute(type: type & 0x3fff, payload: payload)
        }
    }
}

/// One message of those that the kernel sends.
package struct NetlinkMessage: Sendable {
    package let type: UInt16
    package let flags: UInt16
    package let sequence: UInt32
    /// After the header: the family's own header, then attributes.
    package let payload: ArraySlice<UInt8>

    /// The first message of some bytes, which lose it; nil where there is none or its length cannot be.
    init?(takenFrom bytes: inout ArraySlice<UInt8>) {
        guard let length = bytes.hostEndian(UInt32.self), let type = bytes.hostEndian(UInt16.self, at: 4),
            let flags = bytes.hostEndian(UInt16.self, at: 6), let sequence = bytes.hostEndian(UInt32.self, at: 8),
            length >= NetlinkLayout.messageHeader, length <= bytes.count
        else { return nil }
        self.type = type
        self.flags = flags
        self.sequence = sequence
        payload = bytes.prefix(Int(length)).dropFirst(NetlinkLayout.messageHeader)
        bytes = bytes.dropFirst(NetlinkLayout.aligned(Int(length)))
    }

    /// The attributes after the header of nfnetlink (`nfgenmsg`).
    package var netfilterAttributes: NetlinkAttributes {
        NetlinkAttributes(payload.dropFirst(NetlinkLayout.netfilterHeader))
    }
    /// The address family in the header of nfnetlink.
    package var netfilterFamily: UInt8? { payload.first }
    /// The message within its subsystem of nfnetlink.
    package var netfilterType: UInt8 { UInt8(truncatingIfNeeded: type) }
}

/// Sizes of netlink(7), in bytes.
enum NetlinkLayout {
    static let messageHeader = 16
    static let attributeHeader = 4
    static let netfilterHeader = 4

    /// Messages and attributes begin at multiples of four.
    static func aligned(_ length: Int) -> Int { (length + 3) & ~3 }
}
