import CNftnl
import ProxyCore

/// The bytes of values as the kernel compares them.
enum KernelValue {
    /// The most that a register, a key or a datum holds (NFT_DATA_VALUE_MAXLEN).
    static let maximumLength = Int(NFT_DATA_VALUE_MAXLEN)

    /// The bytes of a number in the host's byte order, in which the kernel keeps what is not of a packet.
    static func host(_ number: UInt32) -> [UInt8] {
        withUnsafeBytes(of: number) { Array($0) }
    }

    static func address(_ address: IPAddress, _ family: IPFamily) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(address, family)
        return bytes
    }

    static func port(_ port: UInt16) -> [UInt8] { [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)] }
}

extension TransportProtocol {
    /// IPPROTO_….
    var number: UInt8 {
        switch self {
        case .sctp: 132
        case .tcp: 6
        case .udp: 17
        }
    }
}

extension [UInt8] {
    /// Adds an address of a table's family, in network byte order.
    mutating func append(_ address: IPAddress, _ family: IPFamily) {
        switch family {
        case .ipv4:
            Swift.withUnsafeBytes(of: address.ipv4Bits.bigEndian) { append(contentsOf: $0) }
        case .ipv6:
            Swift.withUnsafeBytes(of: address.high.bigEndian) { append(contentsOf: $0) }
            Swift.withUnsafeBytes(of: address.low.bigEndian) { append(contentsOf: $0) }
        }
    }

    /// Adds one part of a key or a datum.
    mutating func append(_ value: NFTValue, _ family: IPFamily) {
        switch value {
        case .address(let address): append(address, family)
        case .protocol(let transport): append(transport.number)
        case .port(let port):
            append(UInt8(port >> 8))
            append(UInt8(truncatingIfNeeded: port))
        case .number(let number):
            Swift.withUnsafeBytes(of: number) { append(contentsOf: $0) }
        }
    }

    /// Adds a key or a datum. A part among others takes a multiple of four bytes, a part by itself only its own.
    mutating func append(_ values: [NFTValue], _ family: IPFamily) {
        let start = count
        for value in values {
            append(value, family)
            if values.count > 1 {
                while (count - start) % 4 != 0 { append(0) }
            }
        }
    }
}

extension NFTType {
    /// nft's number of the type. They are not of the kernel, which keeps them for nft; `number` is "integer".
    func number(_ family: IPFamily) -> UInt32 {
        switch self {
        case .address: family == .ipv4 ? Self.ipv4Address : Self.ipv6Address
        case .protocol: Self.inetProtocol
        case .port: Self.inetService
        case .number: Self.integer
        }
    }

    static let integer: UInt32 = 4
    static let ipv4Address: UInt32 = 7
    static let ipv6Address: UInt32 = 8
    static let inetProtocol: UInt32 = 12
    static let inetService: UInt32 = 13
    /// Six bits of a number are one part's.
    static let bitsOfPart: UInt32 = 6

    /// Bytes.
    func length(_ family: IPFamily) -> Int {
        switch self {
        case .address: family.bitWidth / 8
        case .protocol: 1
        case .port: 2
        case .number: 4
        }
    }

    /// The byte order that nft notes for a set whose key or datum is of this type alone.
    var byteOrder: NFTUserData.ByteOrder {
        switch self {
        case .address, .port: .network
        case .protocol: .none
        case .number: .host
        }
    }
}

extension [NFTType] {
    /// nft's number for the parts together.
    func number(_ family: IPFamily) -> UInt32 {
        reduce(0) { $0 << NFTType.bitsOfPart | $1.number(family) }
    }

    /// Bytes.
    func length(_ family: IPFamily) -> Int {
        count == 1 ? self[0].length(family) : reduce(0) { $0 + ($1.length(family) + 3) / 4 * 4 }
    }

    var byteOrder: NFTUserData.ByteOrder { count == 1 ? self[0].byteOrder : .none }
}
