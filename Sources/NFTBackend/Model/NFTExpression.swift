/// One instruction of a rule as the kernel has it (linux/netfilter/nf_tables.h): rules are lists of them, which hand
/// values on in registers.
///
/// Numbers are those of the header; values are bytes as the kernel compares them, mostly in network byte order.
public enum NFTExpression: Hashable, Sendable {
    /// Loads bytes of the packet (NFTA_PAYLOAD_DREG).
    case payload(NFTPayload, register: UInt32)
    /// Stores a register into the packet (NFTA_PAYLOAD_SREG).
    case storePayload(NFTPayload, register: UInt32, checksum: Checksum)
    /// Loads one of NFT_META_….
    case meta(UInt32, register: UInt32)
    case storeMeta(UInt32, register: UInt32)
    /// Loads one of NFT_CT_…; `direction` is IP_CT_DIR_… where the key wants one.
    case ct(UInt32, direction: UInt8?, register: UInt32)
    /// Loads what the routing table says (NFT_FIB_RESULT_…, NFTA_FIB_F_…).
    case fib(result: UInt32, flags: UInt32, register: UInt32)
    /// Loads a number (NFT_NG_…), in host byte order.
    case numgen(type: UInt32, modulus: UInt32, offset: UInt32, register: UInt32)
    case immediate([UInt8], register: UInt32)
    case verdict(NFTVerdict)
    /// `operation` is NFT_CMP_….
    case compare(operation: UInt32, [UInt8], register: UInt32)
    /// destination = source & mask ^ xor
    case bitwise(source: UInt32, destination: UInt32, mask: [UInt8], xor: [UInt8])
    /// `operation` is NFT_BYTEORDER_….
    case byteorder(source: UInt32, destination: UInt32, operation: UInt32, length: UInt32, size: UInt32)
    /// Looks a register up in a set. `destination` is where a map's datum goes: 0 is the verdict, nil is a set.
    case lookup(set: String, source: UInt32, destination: UInt32?, isNot: Bool)
    /// Changes a set from the packet's way; `operation` is NFT_DYNSET_OP_…, the timeout is in milliseconds.
    case dynset(operation: UInt32, set: String, key: UInt32, datum: UInt32?, timeout: UInt64?)
    /// Uses the counter that a map names for a register (NFTA_OBJREF_SET_…).
    case objectMap(set: String, source: UInt32)
    /// `type` is NFT_NAT_…, flags are NF_NAT_RANGE_….
    case nat(type: UInt32, family: UInt32, address: UInt32?, port: UInt32?, flags: UInt32)
    case masquerade(flags: UInt32)
    /// `type` is NFT_REJECT_….
    case reject(type: UInt32, code: UInt8)
    /// One that no layout of ours uses, by its name.
    case other(String)

    /// Which checksum follows a store (NFTA_PAYLOAD_CSUM_…).
    public struct Checksum: Hashable, Sendable {
        public var type: UInt32
        public var offset: UInt32
        public var flags: UInt32

        public init(type: UInt32, offset: UInt32, flags: UInt32) {
            self.type = type
            self.offset = offset
            self.flags = flags
        }
    }
}

/// A range of bytes in a packet.
public struct NFTPayload: Hashable, Sendable {
    /// NFT_PAYLOAD_….
    public var base: UInt32
    public var offset: UInt32
    public var length: UInt32

    public init(base: UInt32, offset: UInt32, length: UInt32) {
        self.base = base
        self.offset = offset
        self.length = length
    }
}
