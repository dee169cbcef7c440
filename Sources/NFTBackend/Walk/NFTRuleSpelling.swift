import CNftnl
import ProxyCore

/// A rule of the kernel's as a person reads it: near to nft's language, from its expressions alone.
struct NFTRuleSpelling {
    /// What a register holds, as text.
    private struct Operand {
        enum Kind {
            case address, transport, port, mark, name, addressType, state, status, number
            /// Bytes that a rule brings along.
            case constant([UInt8])
        }

        var text: String
        var kind: Kind
        /// Filled up to whole parts of 4 bytes.
        var length: Int
        /// The leading bits that are compared, of an address.
        var prefix: Int?
    }

    private let table: NFTWalkTable
    private var operands: [Int: Operand] = [:]
    private var words: [String] = []

    static func text(of rule: NFTKernelTable.Rule, table: NFTWalkTable) -> String {
        var spelling = NFTRuleSpelling(table: table)
        for expression in rule.expressions { spelling.add(expression) }
        if let comment = rule.comment { spelling.words.append("comment \"\(comment)\"") }
        return spelling.words.joined(separator: " ")
    }

    private init(table: NFTWalkTable) {
        self.table = table
    }

    private var ip: String { table.identity.family == .ipv4 ? "ip" : "ip6" }

    private var addressLength: Int { table.identity.family.bitWidth / 8 }

    private mutating func add(_ expression: NFTExpression) {
        switch expression {
        case .payload(let payload, let register): set(register, payloadOperand(payload))
        case .storePayload(let payload, let register, _):
            words.append("\(payloadOperand(payload).text) set \(text(register, Int(clamping: payload.length)))")
        case .meta(let key, let register): set(register, Self.metaOperand(key))
        case .storeMeta(let key, let register):
            words.append("\(Self.metaOperand(key).text) set \(text(register, 4))")
        case .ct(let key, let direction, let register): set(register, connectionOperand(key, direction))
        case .fib(_, let flags, let register):
            let field = flags & NFTA_FIB_F_SADDR.rawValue != 0 ? "saddr" : "daddr"
            set(register, Operand(text: "fib \(field) type", kind: .addressType, length: 4))
        case .numgen(let type, let modulus, let offset, let register):
            let draw = type == 0 ? "inc" : "random"
            let from = offset == 0 ? "" : " offset \(offset)"
            set(register, Operand(text: "numgen \(draw) mod \(modulus)\(from)", kind: .number, length: 4))
        case .immediate(let bytes, let register):
            set(register, Operand(text: hex(bytes), kind: .constant(bytes), length: (bytes.count + 3) / 4 * 4))
        case .verdict(let verdict): words.append(verdict.spelling)
        case .compare(let operation, let bytes, let register): compare(operation, bytes, register)
        case .bitwise(let source, let destination, let mask, let xor): change(source, destination, mask, xor)
        case .byteorder(let source, let destination, _, _, _):
            if let operand = operand(source) { set(destination, operand) }
        case .lookup(let set, let source, let destination, let isNot): lookUp(set, source, destination, isNot)
        case .dynset(let operation, let set, let key, let datum, let timeout):
            let known = table.set(set)
            let verb = ["add", "update", "delete"][Int(min(operation, 2))]
            let time = timeout.map { " timeout \($0 / 1000)s" } ?? ""
            let value = datum.map { " : \(text($0, known?.datumLength ?? 4))" } ?? ""
            words.append("\(verb) @\(set) { \(text(key, known?.keyLength ?? 4))\(time)\(value) }")
        case .objectMap(let set, let source):
            words.append("counter name \(text(source, table.set(set)?.keyLength ?? 4)) map @\(set)")
        case .nat(let type, _, let address, let port, _): translate(type, address, port)
        case .masquerade: words.append("masquerade")
        case .reject: words.append("reject")
        case .other(let name): words.append(name)
        }
    }

    // MARK: Registers

    private mutating func set(_ register: UInt32, _ operand: Operand) {
        if let place = NFTRegisters.offset(register) { operands[place] = operand }
    }

    private func operand(_ register: UInt32) -> Operand? {
        NFTRegisters.offset(register).flatMap { operands[$0] }
    }

    /// The operands of a concatenation.
    private func parts(_ register: UInt32, _ length: Int) -> [Operand] {
        guard let start = NFTRegisters.offset(register) else { return [] }
        var parts: [Operand] = []
        var place = start
        while place < start + length, let operand = operands[place] {
            parts.append(operand)
            place += max(4, operand.length)
        }
        return parts
    }

    private func text(_ register: UInt32, _ length: Int) -> String {
        let parts = parts(register, length)
        return parts.isEmpty ? "reg \(register)" : parts.map(value).joined(separator: " . ")
    }

    /// An operand where a value stands: of a constant, what it means.
    private func value(_ operand: Operand) -> String {
        guard case .constant(let bytes) = operand.kind else { return operand.text }
        return bytes.count == addressLength ? IPAddress(networkBytes: bytes)?.description ?? operand.text : operand.text
    }
}

// MARK: - Operands

extension NFTRuleSpelling {
    private func payloadOperand(_ payload: NFTPayload) -> Operand {
        let isIPv4 = table.identity.family == .ipv4
        let source: UInt32 = isIPv4 ? 12 : 8
        let length = Int(clamping: payload.length)
        if payload.base == NFT_PAYLOAD_NETWORK_HEADER.rawValue, length <= addressLength {
            // Of a range of whole bytes the mask is left out, and fewer bytes are loaded.
            if payload.offset == source { return Operand(text: "\(ip) saddr", kind: .address, length: padded(length)) }
            if payload.offset == source + UInt32(addressLength) {
                return Operand(text: "\(ip) daddr", kind: .address, length: padded(length))
            }
        }
        if payload.base == NFT_PAYLOAD_TRANSPORT_HEADER.rawValue, payload.offset == 2, length == 2 {
            return Operand(text: "th dport", kind: .port, length: 4)
        }
        let text = "payload base \(payload.base) offset \(payload.offset) length \(payload.length)"
        return Operand(text: text, kind: .number, length: padded(length))
    }

    private func padded(_ length: Int) -> Int { (length + 3) / 4 * 4 }

    private static func metaOperand(_ key: UInt32) -> Operand {
        switch key {
        case NFT_META_MARK.rawValue: Operand(text: "meta mark", kind: .mark, length: 4)
        case NFT_META_IIFNAME.rawValue: Operand(text: "iifname", kind: .name, length: 16)
        case NFT_META_OIFNAME.rawValue: Operand(text: "oifname", kind: .name, length: 16)
        case NFT_META_L4PROTO.rawValue: Operand(text: "meta l4proto", kind: .transport, length: 4)
        default: Operand(text: "meta \(key)", kind: .number, length: 4)
        }
    }

    private func connectionOperand(_ key: UInt32, _ direction: UInt8?) -> Operand {
        let way = direction.map { $0 == 0 ? "original " : "reply " } ?? ""
        switch key {
        case NFT_CT_STATE.rawValue: return Operand(text: "ct state", kind: .state, length: 4)
        case NFT_CT_STATUS.rawValue: return Operand(text: "ct status", kind: .status, length: 4)
        case NFT_CT_SRC.rawValue, NFT_CT_SRC_IP.rawValue, NFT_CT_SRC_IP6.rawValue:
            return Operand(text: "ct \(way)\(ip) saddr", kind: .address, length: addressLength)
        case NFT_CT_DST.rawValue, NFT_CT_DST_IP.rawValue, NFT_CT_DST_IP6.rawValue:
            return Operand(text: "ct \(way)\(ip) daddr", kind: .address, length: addressLength)
        case NFT_CT_PROTO_DST.rawValue:
            return Operand(text: "ct \(way)proto-dst", kind: .port, length: 4)
        default: return Operand(text: "ct \(way)\(key)", kind: .number, length: 4)
        }
    }
}

// MARK: - Expressions

extension NFTRuleSpelling {
    private mutating func compare(_ operation: UInt32, _ bytes: [UInt8], _ register: UInt32) {
        let signs = ["", "!= ", "< ", "<= ", "> ", ">= "]
        let sign = operation < 6 ? signs[Int(operation)] : "? "
        guard let operand = operand(register) else {
            words.append("reg \(register) \(sign)\(hex(bytes))")
            return
        }
        // `ct state and 8 != 0` is how the kernel has `ct state new`.
        let isZero = bytes.allSatisfy { $0 == 0 }
        if operation == NFT_CMP_NEQ.rawValue, isZero,
            operand.text.hasSuffix(" new") || operand.text.hasSuffix(" dnat")
        {
            words.append(operand.text)
        } else {
            words.append("\(operand.text) \(sign)\(spell(bytes, operand))")
        }
    }

    private func spell(_ bytes: [UInt8], _ operand: Operand) -> String {
        switch operand.kind {
        case .address where bytes.count <= addressLength:
            let filled = bytes + Array(repeating: 0, count: addressLength - bytes.count)
            let address = IPAddress(networkBytes: filled)?.description ?? hex(bytes)
            let prefix = operand.prefix ?? bytes.count * 8
            return prefix == addressLength * 8 ? address : "\(address)/\(prefix)"
        case .transport where bytes.count == 1:
            return TransportProtocol.allCases.first { $0.number == bytes[0] }.map { "\($0.lowercaseName)" }
                ?? "\(bytes[0])"
        case .port where bytes.count == 2: return "\(UInt16(bytes[0]) << 8 | UInt16(bytes[1]))"
        case .name:
            let name = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            return bytes.contains(0) || bytes.count == 16 ? "\"\(name)\"" : "\"\(name)*\""
        case .addressType: return UInt32(hostBytes: bytes) == KernelNumber.local ? "local" : hex(bytes)
        case .number, .state, .status: return UInt32(hostBytes: bytes).map(String.init) ?? hex(bytes)
        case .mark where bytes.allSatisfy { $0 == 0 }: return "0"
        case .mark: return UInt32(hostBytes: bytes).map { "0x" + String($0, radix: 16) } ?? hex(bytes)
        default: return hex(bytes)
        }
    }

    private mutating func change(_ source: UInt32, _ destination: UInt32, _ mask: [UInt8], _ xor: [UInt8]) {
        guard var operand = operand(source) else { return }
        let and = UInt32(hostBytes: mask) ?? 0
        let flip = UInt32(hostBytes: xor) ?? 0
        switch operand.kind {
        case .address: operand.prefix = mask.reduce(0) { $0 + $1.nonzeroBitCount }
        case .state where and == KernelNumber.newConnection: operand.text += " new"
        case .status where and == KernelNumber.destinationTranslated: operand.text += " dnat"
        case .mark where and == .max: operand.text += " xor 0x" + String(flip, radix: 16)
        case .mark where flip == 0: operand.text += " and 0x" + String(and, radix: 16)
        case .mark where and == ~flip: operand.text += " or 0x" + String(flip, radix: 16)
        default: operand.text += " and \(hex(mask)) xor \(hex(xor))"
        }
        set(destination, operand)
    }

    private mutating func lookUp(_ name: String, _ source: UInt32, _ destination: UInt32?, _ isNot: Bool) {
        guard let set = table.set(name) else {
            words.append("reg \(source) @\(name)")
            return
        }
        let key = text(source, set.keyLength)
        let isAnonymous = set.kernel.flags & NFT_SET_ANONYMOUS.rawValue != 0
        let spelled = isAnonymous ? "{ \(elements(of: set, parts(source, set.keyLength))) }" : "@\(name)"
        switch destination {
        case nil: words.append("\(key) \(isNot ? "!= " : "")\(spelled)")
        case 0: words.append("\(key) vmap \(spelled)")
        case let register?:
            let operand = Operand(text: "\(key) map \(spelled)", kind: .number, length: padded(set.datumLength))
            self.set(register, operand)
        }
    }

    /// Of a set without a name, whose elements stand in the rule.
    private func elements(of set: NFTWalkSet, _ key: [Operand]) -> String {
        var texts: [String] = []
        let sorted = set.kernel.elements.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for (index, element) in sorted.enumerated() where element.flags & NFT_SET_ELEM_INTERVAL_END.rawValue == 0 {
            var text = spell(element.key, key)
            if index + 1 < sorted.count, sorted[index + 1].flags & NFT_SET_ELEM_INTERVAL_END.rawValue != 0 {
                text += Self.prefix(from: element.key, to: sorted[index + 1].key)
            }
            switch element.datum {
            case .none: break
            case .verdict(let verdict): text += " : \(verdict.spelling)"
            case .counter(let name): text += " : \(name)"
            case .bytes(let bytes): text += " : \(endpoint(bytes) ?? hex(bytes))"
            }
            texts.append(text)
        }
        let shown = texts.prefix(16).joined(separator: ", ")
        return texts.count > 16 ? "\(shown), and \(texts.count - 16) more" : shown
    }

    private func spell(_ bytes: [UInt8], _ key: [Operand]) -> String {
        guard let only = key.first, key.count == 1 else { return hex(bytes) }
        return spell(bytes, only)
    }

    /// `/LENGTH` of the range that ends before another; nothing where it is a single address.
    private static func prefix(from start: [UInt8], to end: [UInt8]) -> String {
        guard start.count == end.count else { return "" }
        // The length of a range is a power of two, and the number that ends it differs in that one bit after the carry.
        var borrow = 0
        var zeros = 0
        var difference: [UInt8] = []
        for (low, high) in zip(start, end).reversed() {
            let value = Int(high) - Int(low) - borrow
            borrow = value < 0 ? 1 : 0
            difference.append(UInt8(truncatingIfNeeded: value))
        }
        guard difference.reduce(0, { $0 + $1.nonzeroBitCount }) == 1 else { return "" }
        for byte in difference {
            zeros += byte == 0 ? 8 : byte.trailingZeroBitCount
            if byte != 0 { break }
        }
        return zeros == 0 ? "" : "/\(start.count * 8 - zeros)"
    }

    private mutating func translate(_ type: UInt32, _ address: UInt32?, _ port: UInt32?) {
        let verb = type == NFT_NAT_SNAT.rawValue ? "snat" : "dnat"
        guard let address, let target = operand(address) else {
            words.append("\(verb) to reg \(address ?? 0)")
            return
        }
        if case .constant(let bytes) = target.kind, let address = IPAddress(networkBytes: bytes) {
            if let port, case .constant(let bytes)? = operand(port)?.kind, bytes.count >= 2 {
                let number = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
                words.append("\(verb) to \(PacketFate.End.endpoint(address, port: number))")
            } else {
                words.append("\(verb) to \(address)")
            }
        } else {
            words.append(port == nil ? "\(verb) to \(target.text)" : "\(verb) \(ip) addr . port to \(target.text)")
        }
    }

    /// An address and a port behind it.
    private func endpoint(_ bytes: [UInt8]) -> String? {
        guard bytes.count >= addressLength + 2, let address = IPAddress(networkBytes: bytes.prefix(addressLength))
        else {
            return nil
        }
        return "\(address) . \(UInt16(bytes[addressLength]) << 8 | UInt16(bytes[addressLength + 1]))"
    }

    private func hex(_ bytes: [UInt8]) -> String {
        "0x" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

extension NFTVerdict {
    /// As nft writes it.
    var spelling: String {
        switch self {
        case .accept: "accept"
        case .drop: "drop"
        case .return: "return"
        case .jump(let chain): "jump \(chain)"
        case .goto(let chain): "goto \(chain)"
        }
    }
}
