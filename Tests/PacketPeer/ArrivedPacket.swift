import Glibc
import ProxyCore

/// What came out of the node: a probe, or the message that one was refused.
struct ArrivedPacket {
    enum Kind {
        case probe(source: IPAddress, sourcePort: UInt16, destination: IPAddress, port: UInt16)
        /// ICMP's "destination unreachable".
        case unreachable(code: UInt8)
    }

    let kind: Kind
    /// The number that the probe carries.
    let number: UInt32
    /// False where a checksum is wrong. Not looked at in what ICMP quotes.
    let isIntact: Bool
    /// True where it came out of a device, false where it was delivered to the node.
    var hasLeft = false

    /// - Parameter bytes: from the header of IP on. Nil for anything but probes and answers to them.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let version = bytes.first.map({ $0 >> 4 }), bytes.count >= (version == 6 ? 40 : 20) else { return nil }
        let start = version == 6 ? 40 : Int(bytes[0] & 0xf) * 4
        let size = version == 6 ? 16 : 4
        let addresses = version == 6 ? 8 : 12
        guard start >= addresses + 2 * size, bytes.count >= start else { return nil }
        let source = IPAddress(.init(rebasing: bytes[addresses..<addresses + size]))
        let destination = IPAddress(.init(rebasing: bytes[addresses + size..<addresses + 2 * size]))
        let isHeaderIntact = version == 6 || Checksum.folded(Checksum.sum(.init(rebasing: bytes[..<start]))) == 0
        self.init(
            protocol: bytes[version == 6 ? 6 : 9], .init(rebasing: bytes[start...]), from: source, to: destination,
            isHeaderIntact: isHeaderIntact)
    }

    /// - Parameter bytes: from the header of the transport, or of ICMP, on.
    init?(
        protocol number: UInt8, _ bytes: UnsafeRawBufferPointer, from source: IPAddress, to destination: IPAddress,
        isHeaderIntact: Bool = true
    ) {
        if let transport = TransportProtocol(number: number) {
            guard bytes.count >= transport.numberOffset + 4 else { return nil }
            kind = .probe(
                source: source, sourcePort: bytes.bigEndian(UInt16.self, at: 0), destination: destination,
                port: bytes.bigEndian(UInt16.self, at: 2))
            self.number = bytes.bigEndian(UInt32.self, at: transport.numberOffset)
            isIntact = isHeaderIntact && Self.isIntact(transport, bytes, from: source, to: destination)
            return
        }
        // Destination unreachable is type 3 of ICMP and type 1 of ICMPv6; the packet in question follows 8 bytes.
        let type: UInt8? = number == UInt8(IPPROTO_ICMP) ? 3 : number == UInt8(IPPROTO_ICMPV6) ? 1 : nil
        guard bytes.count > 8, bytes[0] == type, let quoted = ArrivedPacket(.init(rebasing: bytes[8...])) else {
            return nil
        }
        kind = .unreachable(code: bytes[1])
        self.number = quoted.number
        isIntact = isHeaderIntact
    }

    private static func isIntact(
        _ transport: TransportProtocol, _ bytes: UnsafeRawBufferPointer, from source: IPAddress,
        to destination: IPAddress
    ) -> Bool {
        if transport == .sctp {
            let crc = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
            return crc == Checksum.crc32c(bytes, hole: 8)
        }
        let addresses = (source.bytes + destination.bytes).withUnsafeBytes {
            Checksum.pseudoHeader($0, protocol: transport.number, length: bytes.count)
        }
        return Checksum.folded(addresses &+ Checksum.sum(bytes)) == 0
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func bigEndian<Number: FixedWidthInteger>(_ type: Number.Type, at offset: Int) -> Number {
        Number(bigEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }
}

extension IPAddress {
    /// - Parameter bytes: 4 or 16, in network byte order.
    init(_ bytes: UnsafeRawBufferPointer) {
        if bytes.count == 4 {
            self.init(ipv4: bytes.bigEndian(UInt32.self, at: 0))
        } else {
            self.init(high: bytes.bigEndian(UInt64.self, at: 0), low: bytes.bigEndian(UInt64.self, at: 8))
        }
    }
}
