import ProxyCore

/// The first packet of a TCP connection over IPv4, without options.
struct Packet {
    private(set) var bytes: [UInt8]

    /// Takes what has come out of the kernel.
    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    init(from source: (address: IPAddress, port: UInt16), to destination: (address: IPAddress, port: UInt16)) {
        let addresses = Self.bytes(source.address.ipv4Bits) + Self.bytes(destination.address.ipv4Bits)
        var ip: [UInt8] = [0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0] + addresses
        var tcp = Self.bytes(source.port) + Self.bytes(destination.port) + Self.bytes(UInt32(1)) + Self.bytes(UInt32(0))
        // A header of five words, SYN, a window.
        tcp += [0x50, 0x02, 0xfa, 0xf0, 0, 0, 0, 0]
        ip.replaceSubrange(10..<12, with: Self.checksum(ip))
        // The pseudo-header: addresses, protocol, length.
        tcp.replaceSubrange(16..<18, with: Self.checksum(addresses + [0, 6, 0, 20] + tcp))
        bytes = ip + tcp
    }

    var destination: IPAddress { IPAddress(ipv4: UInt32(number(at: 16)) << 16 | UInt32(number(at: 18))) }
    var destinationPort: UInt16 { number(at: 22) }

    private func number(at index: Int) -> UInt16 {
        bytes.count > index + 1 ? UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1]) : 0
    }

    private static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    /// The Internet checksum of an even number of bytes (RFC 1071).
    private static func checksum(_ bytes: [UInt8]) -> [UInt8] {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
        }
        while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
        return self.bytes(~UInt16(truncatingIfNeeded: sum))
    }
}
