import CNftnl
import ProxyCore

/// A packet on its way, or the part of such packets that chance has sent this way.
struct NFTTraveller: Hashable {
    enum Interface: Hashable {
        /// The hook has none.
        case none
        case unknown
        case named(String)
    }

    /// An element of a set by its key.
    struct Key: Hashable {
        let set: String
        let key: [UInt8]
    }

    /// What a rule did to an element on the way.
    enum SetChange: Hashable {
        case added(NFTKernelTable.Element.Datum)
        case deleted
    }

    /// The connection as the packet opened it.
    let original: Packet
    /// The addresses in the header, in network byte order. Rules can write them.
    var source: [UInt8]
    var destination: [UInt8]
    var port: UInt16
    /// Of all packets like it, from 0 to 1.
    var share = 1.0
    var mark: UInt32 = 0
    var isTranslated = false
    /// True if a rule of a filter chain let it pass.
    var isAccepted = false
    var seenAs = PacketFate.Source.unchanged
    /// What has been added to sets and deleted from them on its way.
    var changes: [Key: SetChange] = [:]
    /// The place, among the steps, of the rule that accepted or translated it last.
    var decision: Int?
    var input = Interface.unknown
    var output = Interface.unknown

    init(_ packet: Packet) {
        original = packet
        source = packet.source.networkBytes
        destination = packet.destination.networkBytes
        port = packet.port
        if let name = packet.inInterface { input = .named(name) }
    }

    var headerSource: IPAddress { IPAddress(networkBytes: source) ?? original.source }

    var headerDestination: IPAddress { IPAddress(networkBytes: destination) ?? original.destination }

    /// What receivers take for the source.
    var visibleSource: PacketFate.Source {
        if seenAs != .unchanged { return seenAs }
        return headerSource == original.source ? .unchanged : .translated(headerSource)
    }

    func with(_ change: (inout NFTTraveller) -> Void) -> NFTTraveller {
        var copy = self
        change(&copy)
        return copy
    }
}

// MARK: - Bytes of the packet

extension NFTTraveller {
    private enum Place {
        case source(Int)
        case destination(Int)
        case transport
        case port(Int)
    }

    /// What stands in a byte of the packet; nil where the walk does not know it.
    private func place(_ base: UInt32, _ offset: UInt32) -> Place? {
        switch (nft_payload_bases(base), original.family, offset) {
        case (NFT_PAYLOAD_NETWORK_HEADER, .ipv4, 9), (NFT_PAYLOAD_NETWORK_HEADER, .ipv6, 6): return .transport
        case (NFT_PAYLOAD_NETWORK_HEADER, .ipv4, 12..<16): return .source(Int(offset) - 12)
        case (NFT_PAYLOAD_NETWORK_HEADER, .ipv4, 16..<20): return .destination(Int(offset) - 16)
        case (NFT_PAYLOAD_NETWORK_HEADER, .ipv6, 8..<24): return .source(Int(offset) - 8)
        case (NFT_PAYLOAD_NETWORK_HEADER, .ipv6, 24..<40): return .destination(Int(offset) - 24)
        case (NFT_PAYLOAD_TRANSPORT_HEADER, _, 2..<4): return .port(Int(offset) - 2)
        default: return nil
        }
    }

    /// Nil if one of the bytes is not known: the source port, and what packets differ in that rules do not ask for.
    func bytes(_ payload: NFTPayload) -> [UInt8]? {
        guard payload.length <= 64 else { return nil }
        var bytes: [UInt8] = []
        for index in 0..<payload.length {
            switch place(payload.base, payload.offset &+ index) {
            case .source(let index) where index < source.count: bytes.append(source[index])
            case .destination(let index) where index < destination.count: bytes.append(destination[index])
            case .transport: bytes.append(original.protocol.number)
            case .port(let index): bytes.append(UInt8(truncatingIfNeeded: index == 0 ? port >> 8 : port))
            default: return nil
            }
        }
        return bytes
    }

    /// Writes addresses and the port. False if other bytes are meant: nothing is written then.
    mutating func store(_ bytes: [UInt8], _ payload: NFTPayload) -> Bool {
        var written = self
        for (index, byte) in bytes.enumerated() {
            switch place(payload.base, payload.offset &+ UInt32(truncatingIfNeeded: index)) {
            case .source(let index) where index < source.count: written.source[index] = byte
            case .destination(let index) where index < destination.count: written.destination[index] = byte
            case .port(0): written.port = written.port & 0xff | UInt16(byte) << 8
            case .port: written.port = written.port & 0xff00 | UInt16(byte)
            default: return false
            }
        }
        self = written
        return true
    }
}

extension [NFTTraveller] {
    /// With those that chance has parted and that nothing tells apart any more as one.
    func merged() -> [NFTTraveller] {
        var places: [NFTTraveller: Int] = [:]
        var merged: [NFTTraveller] = []
        for traveller in self {
            let key = traveller.with { $0.share = 0 }
            if let place = places[key] {
                merged[place].share += traveller.share
            } else {
                places[key] = merged.count
                merged.append(traveller)
            }
        }
        return merged
    }
}

// MARK: - Bytes of values

extension IPAddress {
    /// 4 or 16 bytes.
    var networkBytes: [UInt8] {
        let bits = family == .ipv4 ? [] : bytes(of: high, 8)
        return bits + bytes(of: low, family == .ipv4 ? 4 : 8)
    }

    private func bytes(of bits: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: bits >> UInt64((count - 1 - $0) * 8)) }
    }

    /// Nil unless there are 4 bytes or 16.
    init?(networkBytes bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self.init(ipv4: bytes.reduce(0) { $0 << 8 | UInt32($1) })
        case 16:
            self.init(
                high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
                low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) })
        default: return nil
        }
    }
}

extension UInt32 {
    /// In the byte order of the machine, as the kernel keeps its own numbers in registers.
    var hostBytes: [UInt8] { withUnsafeBytes(of: self) { Array($0) } }

    /// Nil unless there are 4 bytes.
    init?(hostBytes bytes: [UInt8]) {
        guard bytes.count == 4 else { return nil }
        self = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
    }
}
