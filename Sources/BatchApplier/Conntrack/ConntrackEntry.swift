import CMnl
import Glibc
import ProxyCore

/// A UDP entry of the table of connections, as far as it is needed to judge and to delete it.
struct ConntrackEntry {
    let flow: UDPFlow
    /// The payload of `CTA_TUPLE_ORIG`, by which the kernel finds the entry.
    let originalTuple: ArraySlice<UInt8>
    /// `CTA_ID`, which an entry made later with the same tuple does not have.
    let id: ArraySlice<UInt8>?

    /// Nil for what is not UDP, and for entries of a zone other than the default one: those are of programs that track
    /// connections by themselves, beside the rules of a proxy.
    init?(_ message: NetlinkMessage) {
        var original: NetlinkAttribute?
        var reply: NetlinkAttribute?
        var id: ArraySlice<UInt8>?
        for attribute in message.netfilterAttributes {
            switch Int(attribute.type) {
            case Int(CTA_TUPLE_ORIG.rawValue): original = attribute
            case Int(CTA_TUPLE_REPLY.rawValue): reply = attribute
            case Int(CTA_ID.rawValue): id = attribute.payload
            case Int(CTA_ZONE.rawValue): if attribute.payload.bigEndian(UInt16.self) != 0 { return nil }
            default: break
            }
        }
        guard let original, let reply, let there = Tuple(original), let back = Tuple(reply) else { return nil }
        flow = UDPFlow(destination: there.destination, replySource: back.source)
        originalTuple = original.payload
        self.id = id
    }

    /// One direction of a UDP flow.
    private struct Tuple {
        let source: TransportAddress
        let destination: TransportAddress

        init?(_ attribute: NetlinkAttribute) {
            var addresses: (source: IPAddress?, destination: IPAddress?)
            var ports: (source: UInt16?, destination: UInt16?)
            var isUDP = false
            for part in attribute.nested {
                switch Int(part.type) {
                case Int(CTA_TUPLE_IP.rawValue):
                    for field in part.nested {
                        switch Int(field.type) {
                        case Int(CTA_IP_V4_SRC.rawValue), Int(CTA_IP_V6_SRC.rawValue):
                            addresses.source = IPAddress(networkBytes: field.payload)
                        case Int(CTA_IP_V4_DST.rawValue), Int(CTA_IP_V6_DST.rawValue):
                            addresses.destination = IPAddress(networkBytes: field.payload)
                        default: break
                        }
                    }
                case Int(CTA_TUPLE_PROTO.rawValue):
                    for field in part.nested {
                        switch Int(field.type) {
                        case Int(CTA_PROTO_NUM.rawValue): isUDP = field.payload.first == UInt8(IPPROTO_UDP)
                        case Int(CTA_PROTO_SRC_PORT.rawValue): ports.source = field.payload.bigEndian()
                        case Int(CTA_PROTO_DST_PORT.rawValue): ports.destination = field.payload.bigEndian()
                        default: break
                        }
                    }
                case Int(CTA_TUPLE_ZONE.rawValue): if part.payload.bigEndian(UInt16.self) != 0 { return nil }
                default: break
                }
            }
            guard isUDP, let from = addresses.source, let to = addresses.destination, let fromPort = ports.source,
                let toPort = ports.destination
            else { return nil }
            source = TransportAddress(from, port: fromPort)
            destination = TransportAddress(to, port: toPort)
        }
    }
}

extension IPAddress {
    /// An address from its 4 or 16 bytes in network order; nil for any other number of bytes.
    init?(networkBytes bytes: ArraySlice<UInt8>) {
        switch bytes.count {
        case 4:
            guard let bits = bytes.bigEndian(UInt32.self) else { return nil }
            self.init(ipv4: bits)
        case 16:
            guard let high = bytes.bigEndian(UInt64.self), let low = bytes.bigEndian(UInt64.self, at: 8) else {
                return nil
            }
            self.init(high: high, low: low)
        default: return nil
        }
    }

    /// The 4 or 16 bytes in network order.
    var networkBytes: [UInt8] {
        switch family {
        case .ipv4: withUnsafeBytes(of: ipv4Bits.bigEndian) { Array($0) }
        case .ipv6: withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Array($0) }
        }
    }
}
