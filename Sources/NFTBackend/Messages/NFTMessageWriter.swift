import CNftnl
import ProxyCore

/// Collects messages one after the other.
struct NFTMessageWriter {
    private let family: IPFamily
    private(set) var bytes: [UInt8] = []
    private(set) var offsets: [Int] = []
    /// What could not be written, the first of it: the messages then say less than was meant.
    private(set) var fault: String?

    /// A list within a message has less than 64 KiB; all else is far smaller.
    private static let longestMessage = 128 << 10

    init(family: IPFamily) {
        self.family = family
    }

    /// Adds a message whose attributes `body` writes by libnftnl, which knows no end of the room that it is given.
    mutating func append(_ type: nf_tables_msg_types, flags: Int32, _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void) {
        offsets.append(bytes.count)
        withUnsafeTemporaryAllocation(byteCount: Self.longestMessage, alignment: 8) { room in
            let header = nftnl_nlmsg_build_hdr(
                room.baseAddress?.assumingMemoryBound(to: CChar.self),
                UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(truncatingIfNeeded: type.rawValue),
                UInt16(family.netfilterNumber), UInt16(truncatingIfNeeded: flags), 0)
            guard let header else { return fail("a message") }
            body(header)
            let length = min(Int(header.pointee.nlmsg_len), room.count)
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: room[..<length]))
        }
        while bytes.count % 4 != 0 { bytes.append(0) }
    }

    /// Adds a message whose attributes are there.
    mutating func append(_ type: nf_tables_msg_types, flags: Int32, _ attributes: [UInt8]) {
        append(type, flags: flags) { header in
            let length = Int(header.pointee.nlmsg_len)
            UnsafeMutableRawPointer(header).advanced(by: length).copyMemory(
                from: attributes, byteCount: attributes.count)
            header.pointee.nlmsg_len += UInt32(truncatingIfNeeded: attributes.count)
        }
    }

    /// Notes that libnftnl has no memory for something, or does not know it.
    mutating func fail(_ object: String) {
        if fault == nil { fault = "libnftnl does not take \(object)" }
    }
}
