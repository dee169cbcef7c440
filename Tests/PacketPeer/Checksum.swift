/// The checksums of packets.
enum Checksum {
    /// Adds up words of 16 bits, without folding (RFC 1071). A last odd byte counts as the upper half of a word.
    static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var sum: UInt32 = 0
        var index = 0
        while index + 1 < bytes.count {
            sum &+= UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
            index += 2
        }
        if index < bytes.count { sum &+= UInt32(bytes[index]) << 8 }
        return sum
    }

    static func folded(_ sum: UInt32) -> UInt16 {
        var sum = sum
        while sum > 0xffff { sum = (sum & 0xffff) + sum >> 16 }
        return ~UInt16(truncatingIfNeeded: sum)
    }

    /// The sum of the header that TCP and UDP think of before their own (RFC 9293, section 3.1; RFC 8200, section 8.1).
    ///
    /// - Parameter addresses: source and destination.
    static func pseudoHeader(_ addresses: UnsafeRawBufferPointer, protocol number: UInt8, length: Int) -> UInt32 {
        sum(addresses) &+ UInt32(number) &+ UInt32(truncatingIfNeeded: length)
    }

    /// What SCTP has over its packet, the checksum being 0 (RFC 9260, appendix A).
    ///
    /// - Parameter hole: where four bytes are taken for 0.
    static func crc32c(_ bytes: UnsafeRawBufferPointer, hole: Int) -> UInt32 {
        var crc: UInt32 = .max
        for index in 0..<bytes.count {
            let byte = index >= hole && index < hole + 4 ? 0 : bytes[index]
            crc = crc >> 8 ^ crcTable[Int((crc ^ UInt32(byte)) & 0xff)]
        }
        return ~crc
    }

    private static let crcTable: [UInt32] = (0..<256).map { value in
        (0..<8).reduce(UInt32(value)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
    }
}
