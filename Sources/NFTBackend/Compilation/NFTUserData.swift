import CNftnl
import ProxyCore

/// What nft keeps beside tables, chains, sets, elements and rules, and reads to list them: a list of type, length and
/// value, a byte each for the first two.
///
/// It is as nft 1.0.6 writes it. nft 1.0.x ends with a segmentation fault where it lists the user data of 1.1.2 and
/// later.
struct NFTUserData {
    /// nft's enum byteorder.
    enum ByteOrder: UInt32 {
        case none = 0
        case host = 1
        case network = 2
    }

    var bytes: [UInt8] = []

    /// The comment of a table, a chain, an element or a rule.
    static func comment(_ text: String) -> [UInt8] {
        var data = NFTUserData()
        // The types NFTNL_UDATA_TABLE_COMMENT, …_CHAIN_COMMENT, …_SET_ELEM_COMMENT and …_RULE_COMMENT are all 0.
        data.put(0, text)
        return data.bytes
    }

    /// Of the last element of a set of ranges, where the range goes on to the last address
    /// (NFTNL_UDATA_SET_ELEM_FLAGS, NFTNL_SET_ELEM_F_INTERVAL_OPEN).
    static let openRange: [UInt8] = {
        var data = NFTUserData()
        data.put(Int(NFTNL_UDATA_SET_ELEM_FLAGS.rawValue), NFTNL_SET_ELEM_F_INTERVAL_OPEN.rawValue)
        return data.bytes
    }()

    mutating func put(_ type: Int, _ payload: some Collection<UInt8>) {
        guard let type = UInt8(exactly: type), let length = UInt8(exactly: payload.count) else { return }
        bytes.append(type)
        bytes.append(length)
        bytes.append(contentsOf: payload)
    }

    mutating func put(_ type: Int, _ number: UInt32) {
        put(type, KernelValue.host(number))
    }

    /// A string with the zero byte that ends it.
    mutating func put(_ type: Int, _ text: String) {
        put(type, Array(text.utf8) + [0])
    }

    mutating func nest(_ type: Int, _ body: (inout NFTUserData) -> Void) {
        var inner = NFTUserData()
        body(&inner)
        put(type, inner.bytes)
    }

    /// The first value of a type, without trusting the lengths.
    static func value(_ type: Int, in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var offset = 0
        while bytes.count - offset >= 2 {
            let length = Int(bytes[offset + 1])
            guard length <= bytes.count - offset - 2 else { return nil }
            if Int(bytes[offset]) == type {
                return UnsafeRawBufferPointer(rebasing: bytes[(offset + 2)..<(offset + 2 + length)])
            }
            offset += 2 + length
        }
        return nil
    }

    /// The text of a value, which ends with a zero byte.
    static func text(_ type: Int, in bytes: UnsafeRawBufferPointer) -> String? {
        value(type, in: bytes).map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// All values but those of a type; what cannot be read as values is left out.
    static func removing(_ type: Int, from bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var kept: [UInt8] = []
        var offset = 0
        while bytes.count - offset >= 2 {
            let end = offset + 2 + Int(bytes[offset + 1])
            guard end <= bytes.count else { break }
            if Int(bytes[offset]) != type { kept.append(contentsOf: bytes[offset..<end]) }
            offset = end
        }
        return kept
    }
}
