import CNftnl
import ProxyCore

extension NFTField {
    /// IP_CT_DIR_ORIGINAL.
    static let originalDirection: UInt8 = 0

    /// The bytes that it takes in a register.
    func length(_ family: IPFamily) -> Int {
        switch self {
        case .sourceAddress, .destinationAddress, .originalSourceAddress, .originalDestinationAddress:
            family.bitWidth / 8
        case .transportProtocol: 1
        case .destinationPort, .destinationPortOf: 2
        case .inputInterface: Self.interfaceNameLength
        case .random, .sourceAddressType, .destinationAddressType, .connectionState, .connectionStatus: 4
        }
    }

    /// IFNAMSIZ.
    static let interfaceNameLength = 16

    /// The bytes of a packet that it is, if it is an address of the packet.
    func payload(_ family: IPFamily) -> NFTPayload? {
        let offset: UInt32
        switch (self, family) {
        case (.sourceAddress, .ipv4): offset = 12
        case (.sourceAddress, .ipv6): offset = 8
        case (.destinationAddress, .ipv4): offset = 16
        case (.destinationAddress, .ipv6): offset = 24
        default: return nil
        }
        return NFTPayload(
            base: NFT_PAYLOAD_NETWORK_HEADER.rawValue, offset: offset, length: UInt32(family.bitWidth / 8))
    }

    /// The expression that puts it into a register.
    func load(_ family: IPFamily, into register: UInt32) -> NFTExpression {
        switch self {
        case .sourceAddress, .destinationAddress:
            payload(family).map { .payload($0, register: register) } ?? .other("payload")
        case .originalSourceAddress:
            ct(family == .ipv4 ? NFT_CT_SRC_IP : NFT_CT_SRC_IP6, Self.originalDirection, register)
        case .originalDestinationAddress:
            ct(family == .ipv4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6, Self.originalDirection, register)
        case .transportProtocol: .meta(NFT_META_L4PROTO.rawValue, register: register)
        case .destinationPort, .destinationPortOf:
            .payload(
                NFTPayload(base: NFT_PAYLOAD_TRANSPORT_HEADER.rawValue, offset: 2, length: 2), register: register)
        case .inputInterface: .meta(NFT_META_IIFNAME.rawValue, register: register)
        case .random(let modulus, let offset):
            .numgen(type: NFT_NG_RANDOM.rawValue, modulus: modulus, offset: offset, register: register)
        case .sourceAddressType: fib(NFTA_FIB_F_SADDR, register)
        case .destinationAddressType: fib(NFTA_FIB_F_DADDR, register)
        case .connectionState: ct(NFT_CT_STATE, nil, register)
        case .connectionStatus: ct(NFT_CT_STATUS, nil, register)
        }
    }

    private func ct(_ key: nft_ct_keys, _ direction: UInt8?, _ register: UInt32) -> NFTExpression {
        .ct(key.rawValue, direction: direction, register: register)
    }

    private func fib(_ flag: nft_fib_flags, _ register: UInt32) -> NFTExpression {
        .fib(result: NFT_FIB_RESULT_ADDRTYPE.rawValue, flags: flag.rawValue, register: register)
    }
}

/// The registers of a rule: 16 words of four bytes. Every fourth word begins one of the four wide registers, by whose
/// numbers (NFT_REG_1 to NFT_REG_4) the kernel calls it too.
enum Register {
    static let verdict = NFT_REG_VERDICT.rawValue

    static func at(word: Int) -> UInt32 {
        UInt32(word % 4 == 0 ? Int(NFT_REG_1.rawValue) + word / 4 : Int(NFT_REG32_00.rawValue) + word)
    }

    static func words(_ length: Int) -> Int { (length + 3) / 4 }
}
