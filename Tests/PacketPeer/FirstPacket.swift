import Glibc
import ProxyCore

/// The first packet of a connection as bytes: a SYN of TCP, a datagram, or an INIT of SCTP.
///
/// It carries a number by which it is known again, whatever becomes of its addresses and ports: the sequence number of
/// TCP, the content of a datagram, the initiate tag of SCTP.
struct FirstPacket {
    private(set) var bytes: [UInt8]
    private let transport: TransportProtocol
    /// Where the header of the transport begins.
    private let start: Int
    /// The sum of all that TCP's or UDP's checksum covers but number and source port.
    private var sum: UInt32 = 0

    init(_ packet: Packet) {
        transport = packet.protocol
        let segment = Self.segment(packet)
        switch packet.family {
        case .ipv4:
            let length = UInt16(truncatingIfNeeded: 20 + segment.count)
            // No fragments; the identification is of no use then, but 0 would be filled in by the kernel.
            bytes = [0x45, 0] + length.bigEndianBytes + [0, 1, 0x40, 0, 64, transport.number, 0, 0]
            bytes += packet.source.bytes + packet.destination.bytes
            start = 20
            bytes.set(bytes.withUnsafeBytes { Checksum.folded(Checksum.sum($0)) }.bigEndianBytes, at: 10)
        case .ipv6:
            let length = UInt16(truncatingIfNeeded: segment.count)
            bytes = [0x60, 0, 0, 0] + length.bigEndianBytes + [transport.number, 64]
            bytes += packet.source.bytes + packet.destination.bytes
            start = 40
        }
        let addresses = start - 2 * packet.source.bytes.count..<start
        bytes += segment
        sum = bytes.withUnsafeBytes {
            Checksum.pseudoHeader(.init(rebasing: $0[addresses]), protocol: transport.number, length: segment.count)
                &+ Checksum.sum(.init(rebasing: $0[start...]))
        }
    }

    /// Header and content, without number, source port and checksum.
    private static func segment(_ packet: Packet) -> [UInt8] {
        let ports = [0, 0] + packet.port.bigEndianBytes
        return switch packet.protocol {
        // 20 bytes of header, SYN, window, no urgent data.
        case .tcp: ports + [UInt8](repeating: 0, count: 8) + [0x50, 0x02, 0xfa, 0xf0, 0, 0, 0, 0]
        case .udp: ports + [0, 12, 0, 0] + [0, 0, 0, 0]
        // No verification tag yet; then the chunk: INIT, 20 bytes, tag, window, streams, first number.
        case .sctp:
            ports + [UInt8](repeating: 0, count: 8) + [1, 0, 0, 20, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]
        }
    }

    mutating func set(number: UInt32, sourcePort: UInt16) {
        bytes.set(sourcePort.bigEndianBytes, at: start)
        bytes.set(number.bigEndianBytes, at: start + transport.numberOffset)
        if transport == .sctp {
            let crc = bytes.withUnsafeBytes { Checksum.crc32c(.init(rebasing: $0[start...]), hole: 8) }
            bytes.set(crc.littleEndian.memory, at: start + transport.checksumOffset)
        } else {
            let folded = Checksum.folded(sum &+ UInt32(sourcePort) &+ number >> 16 &+ number & 0xffff)
            // To UDP 0 means that there is no checksum; all ones are the same number.
            bytes.set((folded == 0 ? 0xffff : folded).bigEndianBytes, at: start + transport.checksumOffset)
        }
    }
}

extension TransportProtocol {
    /// Its number in the header of IP.
    var number: UInt8 {
        switch self {
        case .tcp: UInt8(IPPROTO_TCP)
        case .udp: UInt8(IPPROTO_UDP)
        case .sctp: 132
        }
    }

    init?(number: UInt8) {
        guard let found = Self.allCases.first(where: { $0.number == number }) else { return nil }
        self = found
    }

    /// Where in its header and content the number is that a packet is known by.
    var numberOffset: Int {
        switch self {
        case .tcp: 4
        case .udp: 8
        case .sctp: 16
        }
    }

    var checksumOffset: Int {
        switch self {
        case .tcp: 16
        case .udp: 6
        case .sctp: 8
        }
    }
}

extension FixedWidthInteger {
    var bigEndianBytes: [UInt8] { bigEndian.memory }

    /// Its bytes as they lie in memory.
    fileprivate var memory: [UInt8] { withUnsafeBytes(of: self) { Array($0) } }
}

extension IPAddress {
    /// In network byte order.
    var bytes: [UInt8] { family == .ipv4 ? ipv4Bits.bigEndianBytes : high.bigEndianBytes + low.bigEndianBytes }
}

extension [UInt8] {
    fileprivate mutating func set(_ bytes: [UInt8], at offset: Int) {
        for (index, byte) in bytes.enumerated() { self[offset + index] = byte }
    }
}
