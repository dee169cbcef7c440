import CNftnl
import ProxyCore

/// Keys and data as a person reads them: `172.30.1.1 . tcp . 80`.
extension NFTKernelTable.Set {
    func text(ofKey key: [UInt8]) -> String { NFTValueText.text(key, type: keyType) }

    func text(of datum: NFTKernelTable.Element.Datum) -> String {
        switch datum {
        case .none: ""
        case .verdict(let verdict): "\(verdict)"
        case .counter(let name): name
        case .bytes(let bytes): NFTValueText.text(bytes, type: datumType)
        }
    }
}

/// Values by nft's numbers of types, which stand in six bits for each part of a concatenation, the last part lowest
/// (datatype.h of nftables). Each part begins at a multiple of four bytes.
enum NFTValueText {
    static func text(_ bytes: [UInt8], type: UInt32) -> String {
        var types: [UInt32] = []
        var rest = type
        while rest > 0 {
            types.append(rest & 0x3f)
            rest >>= 6
        }
        var parts: [String] = []
        var remaining = bytes[...]
        for type in types.reversed() {
            let length = length(of: type) ?? remaining.count
            guard remaining.count >= length else { break }
            parts.append(part(Array(remaining.prefix(length)), type: type))
            remaining = remaining.dropFirst((length + 3) & ~3)
        }
        if !remaining.isEmpty || parts.isEmpty { parts.append(hexadecimal(Array(remaining))) }
        return parts.joined(separator: " . ")
    }

    /// Bytes; nil for a type that no layout of ours uses.
    private static func length(of type: UInt32) -> Int? {
        switch type {
        case Self.ipv4: 4
        case Self.ipv6: 16
        case Self.protocolNumber: 1
        case Self.port: 2
        case Self.integer, Self.mark: 4
        default: nil
        }
    }

    private static func part(_ bytes: [UInt8], type: UInt32) -> String {
        let number = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch type {
        case Self.ipv4: return IPAddress(ipv4: UInt32(truncatingIfNeeded: number)).description
        case Self.ipv6:
            let high = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return IPAddress(high: high, low: number).description
        case Self.protocolNumber:
            // IANA's numbers (RFC 5237).
            return [6: "tcp", 17: "udp", 132: "sctp"][number] ?? "\(number)"
        case Self.port: return "\(number)"
        // What numgen gives is in the byte order of the host.
        case Self.integer, Self.mark: return "\(UInt32(truncatingIfNeeded: number).byteSwapped.littleEndian)"
        default: return hexadecimal(bytes)
        }
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        "0x" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    // nft's numbers: TYPE_INTEGER, TYPE_IPADDR, TYPE_IP6ADDR, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE, TYPE_MARK.
    private static let integer: UInt32 = 4
    private static let ipv4: UInt32 = 7
    private static let ipv6: UInt32 = 8
    private static let protocolNumber: UInt32 = 12
    private static let port: UInt32 = 13
    private static let mark: UInt32 = 19
}

extension NFTVerdict: CustomStringConvertible {
    public var description: String {
        switch self {
        case .accept: "accept"
        case .drop: "drop"
        case .return: "return"
        case .jump(let chain): "jump \(chain)"
        case .goto(let chain): "goto \(chain)"
        }
    }
}
