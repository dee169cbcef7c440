import CNftnl
import ProxyCore

/// What nft keeps beside a set, apart from its comment.
extension NFTUserData {
    /// Of a set with a name.
    static func set(_ set: NFTSet, _ family: IPFamily) -> [UInt8] {
        var data = NFTUserData()
        data.put(NFTNL_UDATA_SET_KEYBYTEORDER, set.key.byteOrder.rawValue)
        var isDatumTypeKept = set.typeof != nil
        var datum: Origin?
        switch set.datum {
        case .none, .counter: isDatumTypeKept = false
        case .verdict:
            data.put(NFTNL_UDATA_SET_DATABYTEORDER, ByteOrder.none.rawValue)
            datum = .verdict
        case .values(let types):
            data.put(NFTNL_UDATA_SET_DATABYTEORDER, types.byteOrder.rawValue)
            datum = set.typeof.map { .fields($0.datum) } ?? .concatenation
            isDatumTypeKept = isDatumTypeKept || types.count > 1
        }
        if let typeof = set.typeof {
            data.put(NFTNL_UDATA_SET_KEY_TYPEOF, .fields(typeof.key), family)
        } else if set.key.count > 1 {
            data.put(NFTNL_UDATA_SET_KEY_TYPEOF, .concatenation, family)
        }
        if isDatumTypeKept, let datum { data.put(NFTNL_UDATA_SET_DATA_TYPEOF, datum, family) }
        if set.datum != .none { data.put(NFTNL_UDATA_SET_DATA_INTERVAL, 0) }
        return data.bytes
    }

    /// Of the set without a name that a field is looked up in. Those of ranges are marked as merged.
    static func addresses(of field: NFTField, isRanges: Bool, _ family: IPFamily) -> [UInt8] {
        var data = NFTUserData()
        data.put(NFTNL_UDATA_SET_KEYBYTEORDER, ByteOrder.network.rawValue)
        if isRanges { data.put(NFTNL_UDATA_SET_MERGE_ELEMENTS, 1) }
        data.put(NFTNL_UDATA_SET_KEY_TYPEOF, .fields([field]), family)
        return data.bytes
    }

    /// Of the map without a name from a random number to a verdict or an endpoint.
    static func random(toVerdicts: Bool) -> [UInt8] {
        var data = NFTUserData()
        data.put(NFTNL_UDATA_SET_KEYBYTEORDER, ByteOrder.host.rawValue)
        data.put(NFTNL_UDATA_SET_DATABYTEORDER, ByteOrder.none.rawValue)
        if toVerdicts { data.put(NFTNL_UDATA_SET_DATA_TYPEOF, .verdict, .ipv4) }
        data.put(NFTNL_UDATA_SET_DATA_INTERVAL, 0)
        return data.bytes
    }

    /// What the values of a set are taken from.
    private enum Origin {
        case verdict
        /// Several parts, of which only the types are known.
        case concatenation
        case fields([NFTField])
    }

    private mutating func put(_ type: nftnl_udata_set_types, _ number: UInt32) {
        put(Int(type.rawValue), number)
    }

    private mutating func put(_ type: nftnl_udata_set_types, _ origin: Origin, _ family: IPFamily) {
        nest(Int(type.rawValue)) {
            switch origin {
            case .verdict: $0.put(expression: .verdict) { _ in }
            case .concatenation: $0.put(expression: .concatenation) { _ in }
            case .fields(let fields) where fields.count == 1: $0.put(fields[0], family)
            case .fields(let fields):
                $0.put(expression: .concatenation) { parts in
                    for (index, field) in fields.enumerated() { parts.nest(index) { $0.put(field, family) } }
                }
            }
        }
    }

    /// nft's enum expr_types.
    private enum ExpressionType: UInt32 {
        case verdict = 1
        case payload = 7
        case meta = 9
        case ct = 12
        case concatenation = 13
        case numgen = 23
    }

    private mutating func put(expression: ExpressionType, _ body: (inout NFTUserData) -> Void) {
        put(Self.typeofExpression, expression.rawValue)
        nest(Self.typeofData, body)
    }

    private static let typeofExpression = Int(NFTNL_UDATA_SET_TYPEOF_EXPR)
    private static let typeofData = Int(NFTNL_UDATA_SET_TYPEOF_DATA)

    /// A field as nft finds it again. One that nft keeps nothing for leaves nothing.
    private mutating func put(_ field: NFTField, _ family: IPFamily) {
        switch field {
        case .sourceAddress: put(payload: family == .ipv4 ? (12, 11) : (13, 8))
        case .destinationAddress: put(payload: family == .ipv4 ? (12, 12) : (13, 9))
        case .destinationPort: put(payload: (11, 2))
        case .destinationPortOf(.tcp): put(payload: (8, 2))
        case .destinationPortOf(.udp): put(payload: (6, 2))
        case .destinationPortOf(.sctp): put(payload: (10, 2))
        case .originalSourceAddress: put(ct: family == .ipv4 ? NFT_CT_SRC_IP : NFT_CT_SRC_IP6)
        case .originalDestinationAddress: put(ct: family == .ipv4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6)
        case .transportProtocol: put(meta: NFT_META_L4PROTO)
        case .inputInterface: put(meta: NFT_META_IIFNAME)
        case .random(let modulus, let offset):
            put(expression: .numgen) {
                $0.put(0, NFT_NG_RANDOM.rawValue)
                $0.put(1, modulus)
                $0.put(2, offset)
            }
        case .sourceAddressType, .destinationAddressType, .connectionState, .connectionStatus: break
        }
    }

    /// A field of a packet: nft's numbers of the protocol (enum proto_desc_id) and of the field in its list.
    private mutating func put(payload: (description: UInt32, field: UInt32)) {
        put(expression: .payload) {
            $0.put(0, payload.description)
            $0.put(1, payload.field)
        }
    }

    private mutating func put(ct key: nft_ct_keys) {
        put(expression: .ct) {
            $0.put(0, key.rawValue)
            $0.put(1, UInt32(NFTField.originalDirection))
        }
    }

    private mutating func put(meta key: nft_meta_keys) {
        put(expression: .meta) { $0.put(0, key.rawValue) }
    }
}
