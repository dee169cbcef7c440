import CNftnl

/// Makes libnftnl's form of an expression.
enum NFTExpressionEncoder {
    /// Nil for one that libnftnl does not know, or has no memory for.
    ///
    /// - Parameter setNumbers: by which sets are named that the same transaction makes without a name of their own.
    static func encode(_ expression: NFTExpression, setNumbers: [String: UInt32]) -> OpaquePointer? {
        guard let object = nftnl_expr_alloc(expression.kernelName) else { return nil }
        let writer = ExpressionWriter(object: object, setNumbers: setNumbers)
        writer.write(expression)
        return object
    }
}

/// Fills in one expression.
private struct ExpressionWriter {
    let object: OpaquePointer
    let setNumbers: [String: UInt32]

    func write(_ expression: NFTExpression) {
        switch expression {
        case .payload(let field, let register):
            put(field)
            put(NFTNL_EXPR_PAYLOAD_DREG, register)
        case .storePayload(let field, let register, let checksum):
            put(field)
            put(NFTNL_EXPR_PAYLOAD_SREG, register)
            put(NFTNL_EXPR_PAYLOAD_CSUM_TYPE, checksum.type)
            put(NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, checksum.offset)
            put(NFTNL_EXPR_PAYLOAD_FLAGS, checksum.flags)
        case .meta(let key, let register):
            put(NFTNL_EXPR_META_KEY, key)
            put(NFTNL_EXPR_META_DREG, register)
        case .storeMeta(let key, let register):
            put(NFTNL_EXPR_META_KEY, key)
            put(NFTNL_EXPR_META_SREG, register)
        case .ct(let key, let direction, let register):
            put(NFTNL_EXPR_CT_KEY, key)
            if let direction { nftnl_expr_set_u8(object, UInt16(NFTNL_EXPR_CT_DIR), direction) }
            put(NFTNL_EXPR_CT_DREG, register)
        case .fib(let result, let flags, let register):
            put(NFTNL_EXPR_FIB_RESULT, result)
            put(NFTNL_EXPR_FIB_FLAGS, flags)
            put(NFTNL_EXPR_FIB_DREG, register)
        case .numgen(let type, let modulus, let offset, let register):
            put(NFTNL_EXPR_NG_TYPE, type)
            put(NFTNL_EXPR_NG_MODULUS, modulus)
            put(NFTNL_EXPR_NG_OFFSET, offset)
            put(NFTNL_EXPR_NG_DREG, register)
        case .immediate(let bytes, let register):
            put(NFTNL_EXPR_IMM_DREG, register)
            put(NFTNL_EXPR_IMM_DATA, bytes)
        case .verdict(let verdict):
            // The register of verdicts.
            put(NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT.rawValue)
            put(NFTNL_EXPR_IMM_VERDICT, verdict.code)
            if let chain = verdict.chain { put(NFTNL_EXPR_IMM_CHAIN, chain) }
        default: writeRest(expression)
        }
    }

    private func writeRest(_ expression: NFTExpression) {
        switch expression {
        case .compare(let operation, let bytes, let register):
            put(NFTNL_EXPR_CMP_SREG, register)
            put(NFTNL_EXPR_CMP_OP, operation)
            put(NFTNL_EXPR_CMP_DATA, bytes)
        case .bitwise(let source, let destination, let mask, let xor):
            put(NFTNL_EXPR_BITWISE_SREG, source)
            put(NFTNL_EXPR_BITWISE_DREG, destination)
            put(NFTNL_EXPR_BITWISE_OP, 0 as UInt32)  // NFT_BITWISE_BOOL
            put(NFTNL_EXPR_BITWISE_LEN, UInt32(truncatingIfNeeded: mask.count))
            put(NFTNL_EXPR_BITWISE_MASK, mask)
            put(NFTNL_EXPR_BITWISE_XOR, xor)
        case .byteorder(let source, let destination, let operation, let length, let size):
            put(NFTNL_EXPR_BYTEORDER_SREG, source)
            put(NFTNL_EXPR_BYTEORDER_DREG, destination)
            put(NFTNL_EXPR_BYTEORDER_OP, operation)
            put(NFTNL_EXPR_BYTEORDER_LEN, length)
            put(NFTNL_EXPR_BYTEORDER_SIZE, size)
        case .lookup(let set, let source, let destination, let isNot):
            put(NFTNL_EXPR_LOOKUP_SREG, source)
            if let destination { put(NFTNL_EXPR_LOOKUP_DREG, destination) }
            put(set: set, NFTNL_EXPR_LOOKUP_SET, NFTNL_EXPR_LOOKUP_SET_ID)
            if isNot { put(NFTNL_EXPR_LOOKUP_FLAGS, UInt32(NFT_LOOKUP_F_INV.rawValue)) }
        case .dynset(let operation, let set, let key, let datum, let timeout):
            put(NFTNL_EXPR_DYNSET_SREG_KEY, key)
            if let datum { put(NFTNL_EXPR_DYNSET_SREG_DATA, datum) }
            put(NFTNL_EXPR_DYNSET_OP, operation)
            if let timeout { nftnl_expr_set_u64(object, UInt16(NFTNL_EXPR_DYNSET_TIMEOUT), timeout) }
            put(set: set, NFTNL_EXPR_DYNSET_SET_NAME, NFTNL_EXPR_DYNSET_SET_ID)
        case .objectMap(let set, let source):
            put(NFTNL_EXPR_OBJREF_SET_SREG, source)
            put(set: set, NFTNL_EXPR_OBJREF_SET_NAME, NFTNL_EXPR_OBJREF_SET_ID)
        case .nat(let type, let family, let address, let port, let flags):
            put(NFTNL_EXPR_NAT_TYPE, type)
            put(NFTNL_EXPR_NAT_FAMILY, family)
            if let address { put(NFTNL_EXPR_NAT_REG_ADDR_MIN, address) }
            if let port { put(NFTNL_EXPR_NAT_REG_PROTO_MIN, port) }
            if flags != 0 { put(NFTNL_EXPR_NAT_FLAGS, flags) }
        case .masquerade(let flags):
            if flags != 0 { put(NFTNL_EXPR_MASQ_FLAGS, flags) }
        case .reject(let type, let code):
            put(NFTNL_EXPR_REJECT_TYPE, type)
            nftnl_expr_set_u8(object, UInt16(NFTNL_EXPR_REJECT_CODE), code)
        default: break
        }
    }

    private func put(_ field: NFTPayload) {
        put(NFTNL_EXPR_PAYLOAD_BASE, field.base)
        put(NFTNL_EXPR_PAYLOAD_OFFSET, field.offset)
        put(NFTNL_EXPR_PAYLOAD_LEN, field.length)
    }

    private func put(set: String, _ name: Int, _ number: Int) {
        if let id = setNumbers[set] {
            // The name is the kernel's to make: the number says which is meant.
            put(name, set.hasPrefix("__map") ? "__map%d" : "__set%d")
            put(number, id)
        } else {
            put(name, set)
        }
    }

    private func put(_ attribute: Int, _ number: UInt32) {
        nftnl_expr_set_u32(object, UInt16(attribute), number)
    }

    private func put(_ attribute: Int, _ text: String) {
        nftnl_expr_set_str(object, UInt16(attribute), text)
    }

    private func put(_ attribute: Int, _ bytes: [UInt8]) {
        nftnl_expr_set(object, UInt16(attribute), bytes, UInt32(truncatingIfNeeded: bytes.count))
    }
}

extension NFTExpression {
    /// What the kernel calls its kind.
    var kernelName: String {
        switch self {
        case .payload, .storePayload: "payload"
        case .meta, .storeMeta: "meta"
        case .ct: "ct"
        case .fib: "fib"
        case .numgen: "numgen"
        case .immediate, .verdict: "immediate"
        case .compare: "cmp"
        case .bitwise: "bitwise"
        case .byteorder: "byteorder"
        case .lookup: "lookup"
        case .dynset: "dynset"
        case .objectMap: "objref"
        case .nat: "nat"
        case .masquerade: "masq"
        case .reject: "reject"
        case .other(let name): name
        }
    }
}
