import CNftnl

/// Reads the expressions of a rule that libnftnl has taken apart.
enum NFTExpressionDecoder {
    static func expressions(of rule: OpaquePointer) -> [NFTExpression] {
        guard let iterator = nftnl_expr_iter_create(rule) else { return [] }
        defer { nftnl_expr_iter_destroy(iterator) }
        var expressions: [NFTExpression] = []
        while let expression = nftnl_expr_iter_next(iterator) {
            let reader = ExpressionReader(expression)
            expressions.append(decode(reader) ?? .other(reader.name))
        }
        return expressions
    }

    private static func decode(_ reader: ExpressionReader) -> NFTExpression? {
        switch reader.name {
        case "payload": payload(reader)
        case "meta": meta(reader)
        case "ct": ct(reader)
        case "fib": fib(reader)
        case "numgen": numgen(reader)
        case "immediate": immediate(reader)
        case "cmp": compare(reader)
        case "bitwise": bitwise(reader)
        case "byteorder": byteorder(reader)
        case "lookup": lookup(reader)
        case "dynset": dynset(reader)
        case "objref": objectMap(reader)
        case "nat": nat(reader)
        case "masq": .masquerade(flags: reader.number(NFTNL_EXPR_MASQ_FLAGS) ?? 0)
        case "reject": reject(reader)
        default: nil
        }
    }

    private static func payload(_ reader: ExpressionReader) -> NFTExpression? {
        guard let base = reader.number(NFTNL_EXPR_PAYLOAD_BASE), let offset = reader.number(NFTNL_EXPR_PAYLOAD_OFFSET),
            let length = reader.number(NFTNL_EXPR_PAYLOAD_LEN)
        else { return nil }
        let field = NFTPayload(base: base, offset: offset, length: length)
        if let register = reader.number(NFTNL_EXPR_PAYLOAD_DREG) { return .payload(field, register: register) }
        guard let register = reader.number(NFTNL_EXPR_PAYLOAD_SREG) else { return nil }
        return .storePayload(
            field, register: register,
            checksum: .init(
                type: reader.number(NFTNL_EXPR_PAYLOAD_CSUM_TYPE) ?? 0,
                offset: reader.number(NFTNL_EXPR_PAYLOAD_CSUM_OFFSET) ?? 0,
                flags: reader.number(NFTNL_EXPR_PAYLOAD_FLAGS) ?? 0))
    }

    private static func meta(_ reader: ExpressionReader) -> NFTExpression? {
        guard let key = reader.number(NFTNL_EXPR_META_KEY) else { return nil }
        if let register = reader.number(NFTNL_EXPR_META_DREG) { return .meta(key, register: register) }
        return reader.number(NFTNL_EXPR_META_SREG).map { .storeMeta(key, register: $0) }
    }

    private static func ct(_ reader: ExpressionReader) -> NFTExpression? {
        guard let key = reader.number(NFTNL_EXPR_CT_KEY), let register = reader.number(NFTNL_EXPR_CT_DREG) else {
            return nil
        }
        return .ct(key, direction: reader.byte(NFTNL_EXPR_CT_DIR), register: register)
    }

    private static func fib(_ reader: ExpressionReader) -> NFTExpression? {
        guard let result = reader.number(NFTNL_EXPR_FIB_RESULT), let register = reader.number(NFTNL_EXPR_FIB_DREG)
        else {
            return nil
        }
        return .fib(result: result, flags: reader.number(NFTNL_EXPR_FIB_FLAGS) ?? 0, register: register)
    }

    private static func numgen(_ reader: ExpressionReader) -> NFTExpression? {
        guard let type = reader.number(NFTNL_EXPR_NG_TYPE), let modulus = reader.number(NFTNL_EXPR_NG_MODULUS),
            let register = reader.number(NFTNL_EXPR_NG_DREG)
        else { return nil }
        return .numgen(
            type: type, modulus: modulus, offset: reader.number(NFTNL_EXPR_NG_OFFSET) ?? 0, register: register)
    }

    private static func immediate(_ reader: ExpressionReader) -> NFTExpression? {
        if let code = reader.number(NFTNL_EXPR_IMM_VERDICT) {
            return NFTVerdict(code: code, chain: reader.text(NFTNL_EXPR_IMM_CHAIN)).map { .verdict($0) }
        }
        guard let register = reader.number(NFTNL_EXPR_IMM_DREG), let bytes = reader.bytes(NFTNL_EXPR_IMM_DATA) else {
            return nil
        }
        return .immediate(bytes, register: register)
    }

    private static func compare(_ reader: ExpressionReader) -> NFTExpression? {
        guard let operation = reader.number(NFTNL_EXPR_CMP_OP), let register = reader.number(NFTNL_EXPR_CMP_SREG),
            let bytes = reader.bytes(NFTNL_EXPR_CMP_DATA)
        else { return nil }
        return .compare(operation: operation, bytes, register: register)
    }

    private static func bitwise(_ reader: ExpressionReader) -> NFTExpression? {
        // Only masking is used; shifts, which came later, are another operation.
        guard reader.number(NFTNL_EXPR_BITWISE_OP) ?? 0 == 0, let source = reader.number(NFTNL_EXPR_BITWISE_SREG),
            let destination = reader.number(NFTNL_EXPR_BITWISE_DREG), let mask = reader.bytes(NFTNL_EXPR_BITWISE_MASK),
            let xor = reader.bytes(NFTNL_EXPR_BITWISE_XOR)
        else { return nil }
        return .bitwise(source: source, destination: destination, mask: mask, xor: xor)
    }

    private static func byteorder(_ reader: ExpressionReader) -> NFTExpression? {
        guard let source = reader.number(NFTNL_EXPR_BYTEORDER_SREG),
            let destination = reader.number(NFTNL_EXPR_BYTEORDER_DREG),
            let operation = reader.number(NFTNL_EXPR_BYTEORDER_OP),
            let length = reader.number(NFTNL_EXPR_BYTEORDER_LEN),
            let size = reader.number(NFTNL_EXPR_BYTEORDER_SIZE)
        else { return nil }
        return .byteorder(
            source: source, destination: destination, operation: operation, length: length, size: size)
    }

    private static func lookup(_ reader: ExpressionReader) -> NFTExpression? {
        guard let set = reader.text(NFTNL_EXPR_LOOKUP_SET), let source = reader.number(NFTNL_EXPR_LOOKUP_SREG) else {
            return nil
        }
        let flags = reader.number(NFTNL_EXPR_LOOKUP_FLAGS) ?? 0
        return .lookup(
            set: set, source: source, destination: reader.number(NFTNL_EXPR_LOOKUP_DREG),
            isNot: flags & UInt32(NFT_LOOKUP_F_INV.rawValue) != 0)
    }

    private static func dynset(_ reader: ExpressionReader) -> NFTExpression? {
        guard let operation = reader.number(NFTNL_EXPR_DYNSET_OP), let set = reader.text(NFTNL_EXPR_DYNSET_SET_NAME),
            let key = reader.number(NFTNL_EXPR_DYNSET_SREG_KEY)
        else { return nil }
        return .dynset(
            operation: operation, set: set, key: key, datum: reader.number(NFTNL_EXPR_DYNSET_SREG_DATA),
            timeout: reader.longNumber(NFTNL_EXPR_DYNSET_TIMEOUT).flatMap { $0 == 0 ? nil : $0 })
    }

    private static func objectMap(_ reader: ExpressionReader) -> NFTExpression? {
        guard let set = reader.text(NFTNL_EXPR_OBJREF_SET_NAME),
            let source = reader.number(NFTNL_EXPR_OBJREF_SET_SREG)
        else { return nil }
        return .objectMap(set: set, source: source)
    }

    private static func nat(_ reader: ExpressionReader) -> NFTExpression? {
        guard let type = reader.number(NFTNL_EXPR_NAT_TYPE), let family = reader.number(NFTNL_EXPR_NAT_FAMILY) else {
            return nil
        }
        return .nat(
            type: type, family: family, address: reader.number(NFTNL_EXPR_NAT_REG_ADDR_MIN),
            port: reader.number(NFTNL_EXPR_NAT_REG_PROTO_MIN),
            flags: (reader.number(NFTNL_EXPR_NAT_FLAGS) ?? 0) & ~impliedFlags)
    }

    /// NF_NAT_RANGE_MAP_IPS and NF_NAT_RANGE_PROTO_SPECIFIED, which the kernel adds where there are an address and a
    /// port.
    private static let impliedFlags: UInt32 = 3

    private static func reject(_ reader: ExpressionReader) -> NFTExpression? {
        reader.number(NFTNL_EXPR_REJECT_TYPE).map {
            .reject(type: $0, code: reader.byte(NFTNL_EXPR_REJECT_CODE) ?? 0)
        }
    }
}

/// The attributes of one expression; nil stands for one that is not there.
private struct ExpressionReader {
    private let expression: OpaquePointer
    let name: String

    init(_ expression: OpaquePointer) {
        self.expression = expression
        name = nftnl_expr_get_str(expression, UInt16(NFTNL_EXPR_NAME)).map { String(cString: $0) } ?? ""
    }

    func number(_ attribute: some BinaryInteger) -> UInt32? {
        has(attribute) ? nftnl_expr_get_u32(expression, UInt16(attribute)) : nil
    }

    func longNumber(_ attribute: some BinaryInteger) -> UInt64? {
        has(attribute) ? nftnl_expr_get_u64(expression, UInt16(attribute)) : nil
    }

    func byte(_ attribute: some BinaryInteger) -> UInt8? {
        has(attribute) ? nftnl_expr_get_u8(expression, UInt16(attribute)) : nil
    }

    func text(_ attribute: some BinaryInteger) -> String? {
        has(attribute) ? nftnl_expr_get_str(expression, UInt16(attribute)).map { String(cString: $0) } : nil
    }

    func bytes(_ attribute: some BinaryInteger) -> [UInt8]? {
        guard has(attribute) else { return nil }
        var length: UInt32 = 0
        let start = nftnl_expr_get(expression, UInt16(attribute), &length)
        return start.map { Array(UnsafeRawBufferPointer(start: $0, count: Int(length))) }
    }

    private func has(_ attribute: some BinaryInteger) -> Bool {
        nftnl_expr_is_set(expression, UInt16(attribute))
    }
}
