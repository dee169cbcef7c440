import CNftnl
public import ProxyCore

/// Puts a table together from the messages in which the kernel lists it.
///
/// The messages are taken apart by libnftnl, which checks every length. What it does not understand is left out, and
/// then differs from what is wanted.
public struct NFTDumpDecoder: Sendable {
    /// What becomes of the elements of sets.
    public enum Elements: Sendable {
        case kept
        /// Only those of these sets are listed.
        case ofSets(Set<String>)
        /// Only what they come to is kept (`digests`), and those of sets without a name of their own.
        case digested
        /// Only these are kept.
        case selected(NFTElementSelection)
        /// They are not listed.
        case none

        /// Whether the elements of a set are to be listed.
        public func include(set: String) -> Bool {
            switch self {
            case .kept, .digested: true
            case .ofSets(let names): names.contains(set)
            case .selected(let selection): selection.contains(set: set)
            case .none: false
            }
        }
    }

    private let elements: Elements
    /// What the elements of sets come to that have a name of their own and to which no rule adds.
    private(set) var digests = NFTElementDigests()
    private var identity: NFTTable.Identity
    private var chains: [NFTKernelTable.Chain] = []
    private var chainPlaces: [String: Int] = [:]
    private var sets: [NFTKernelTable.Set] = []
    private var setPlaces: [String: Int] = [:]
    private var counters: [NFTCounter] = []

    public init(_ family: IPFamily, table: String, elements: Elements) {
        self.elements = elements
        identity = .init(family: family, name: table, comment: nil)
    }

    public var table: NFTKernelTable {
        NFTKernelTable(identity: identity, chains: chains, sets: sets, counters: counters.sorted { $0.name < $1.name })
    }

    /// - Parameters:
    ///   - type: the message's number within nf_tables.
    ///   - payload: what follows netlink's header.
    public mutating func take(type: UInt8, _ payload: [UInt8]) {
        let header = MemoryLayout<nlmsghdr>.size
        // Aligned as the header wants it.
        withUnsafeTemporaryAllocation(byteCount: header + payload.count, alignment: 8) { buffer in
            buffer.storeBytes(
                of: nlmsghdr(
                    nlmsg_len: UInt32(truncatingIfNeeded: buffer.count),
                    nlmsg_type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type), nlmsg_flags: 0, nlmsg_seq: 0,
                    nlmsg_pid: 0), as: nlmsghdr.self)
            UnsafeMutableRawBufferPointer(rebasing: buffer[header...]).copyBytes(from: payload)
            guard let message = buffer.baseAddress?.assumingMemoryBound(to: nlmsghdr.self) else { return }
            switch nf_tables_msg_types(UInt32(type)) {
            case NFT_MSG_NEWTABLE: takeTable(message)
            case NFT_MSG_NEWCHAIN: takeChain(message)
            case NFT_MSG_NEWRULE: takeRule(message)
            case NFT_MSG_NEWSET: takeSet(message)
            case NFT_MSG_NEWSETELEM: takeElements(message)
            case NFT_MSG_NEWOBJ: takeObject(message)
            default: break
            }
        }
    }
}

extension NFTKernelTable {
    /// The table that messages of the kernel tell of.
    ///
    /// - Parameter messages: the table, its chains, rules, sets, objects and elements, as the kernel lists them.
    public init(
        _ family: IPFamily, table: String, messages: some Sequence<(type: UInt8, payload: [UInt8])>
    ) {
        var decoder = NFTDumpDecoder(family, table: table, elements: .kept)
        for message in messages { decoder.take(type: message.type, message.payload) }
        self = decoder.table
    }
}

// MARK: - Objects

extension NFTDumpDecoder {
    private mutating func takeTable(_ message: UnsafePointer<nlmsghdr>) {
        guard let table = nftnl_table_alloc() else { return }
        defer { nftnl_table_free(table) }
        guard nftnl_table_nlmsg_parse(message, table) == 0 else { return }
        var length: UInt32 = 0
        identity.comment = comment(nftnl_table_get_data(table, UInt16(NFTNL_TABLE_USERDATA.rawValue), &length), length)
    }

    private mutating func takeChain(_ message: UnsafePointer<nlmsghdr>) {
        guard let chain = nftnl_chain_alloc() else { return }
        defer { nftnl_chain_free(chain) }
        guard nftnl_chain_nlmsg_parse(message, chain) == 0,
            let name = nftnl_chain_get_str(chain, UInt16(NFTNL_CHAIN_NAME.rawValue))
        else { return }
        var length: UInt32 = 0
        let data = nftnl_chain_get_data(chain, UInt16(NFTNL_CHAIN_USERDATA.rawValue), &length)
        var decoded = NFTKernelTable.Chain(name: String(cString: name), comment: comment(data, length))
        if nftnl_chain_is_set(chain, UInt16(NFTNL_CHAIN_HOOKNUM.rawValue)),
            let type = nftnl_chain_get_str(chain, UInt16(NFTNL_CHAIN_TYPE.rawValue)),
            let kind = NFTChain.Hook.Kind(rawValue: String(cString: type)),
            case let number = nftnl_chain_get_u32(chain, UInt16(NFTNL_CHAIN_HOOKNUM.rawValue)),
            let point = NFTChain.Hook.Point.allCases.first(where: { $0.number == number })
        {
            // NF_DROP.
            decoded.dropsByDefault = nftnl_chain_get_u32(chain, UInt16(NFTNL_CHAIN_POLICY.rawValue)) == 0
            decoded.hook = .init(
                kind, point, priority: nftnl_chain_get_s32(chain, UInt16(NFTNL_CHAIN_PRIO.rawValue)))
        }
        chainPlaces[decoded.name] = chains.count
        chains.append(decoded)
    }

    private mutating func takeRule(_ message: UnsafePointer<nlmsghdr>) {
        guard let rule = nftnl_rule_alloc() else { return }
        defer { nftnl_rule_free(rule) }
        guard nftnl_rule_nlmsg_parse(message, rule) == 0,
            let name = nftnl_rule_get_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue)),
            let place = chainPlaces[String(cString: name)]
        else { return }
        var length: UInt32 = 0
        let data = nftnl_rule_get_data(rule, UInt16(NFTNL_RULE_USERDATA.rawValue), &length)
        chains[place].rules.append(
            .init(
                expressions: NFTExpressionDecoder.expressions(of: rule), comment: comment(data, length)))
    }

    private mutating func takeSet(_ message: UnsafePointer<nlmsghdr>) {
        guard let set = nftnl_set_alloc() else { return }
        defer { nftnl_set_free(set) }
        guard nftnl_set_nlmsg_parse(message, set) == 0,
            let name = nftnl_set_get_str(set, UInt16(NFTNL_SET_NAME.rawValue))
        else { return }
        func number(_ attribute: nftnl_set_attr) -> UInt32 { nftnl_set_get_u32(set, UInt16(attribute.rawValue)) }
        func has(_ attribute: nftnl_set_attr) -> Bool { nftnl_set_is_set(set, UInt16(attribute.rawValue)) }
        var length: UInt32 = 0
        let data = nftnl_set_get_data(set, UInt16(NFTNL_SET_USERDATA.rawValue), &length)
        let userData = UnsafeRawBufferPointer(start: data, count: data == nil ? 0 : Int(length))
        let commentType = Int(NFTNL_UDATA_SET_COMMENT.rawValue)
        let decoded = NFTKernelTable.Set(
            name: String(cString: name), comment: NFTUserData.text(commentType, in: userData),
            flags: number(NFTNL_SET_FLAGS), keyType: number(NFTNL_SET_KEY_TYPE),
            keyLength: number(NFTNL_SET_KEY_LEN),
            datumType: has(NFTNL_SET_DATA_TYPE) ? number(NFTNL_SET_DATA_TYPE) : 0,
            datumLength: has(NFTNL_SET_DATA_LEN) ? number(NFTNL_SET_DATA_LEN) : 0,
            timeout: has(NFTNL_SET_TIMEOUT) ? nftnl_set_get_u64(set, UInt16(NFTNL_SET_TIMEOUT.rawValue)) : nil,
            size: has(NFTNL_SET_DESC_SIZE) ? number(NFTNL_SET_DESC_SIZE) : nil,
            userData: NFTUserData.removing(commentType, from: userData),
            objectType: has(NFTNL_SET_OBJ_TYPE) ? number(NFTNL_SET_OBJ_TYPE) : nil)
        setPlaces[decoded.name] = sets.count
        sets.append(decoded)
    }

    private mutating func takeObject(_ message: UnsafePointer<nlmsghdr>) {
        guard let object = nftnl_obj_alloc() else { return }
        defer { nftnl_obj_free(object) }
        guard nftnl_obj_nlmsg_parse(message, object) == 0,
            nftnl_obj_get_u32(object, UInt16(NFTNL_OBJ_TYPE)) == UInt32(NFT_OBJECT_COUNTER),
            let name = nftnl_obj_get_str(object, UInt16(NFTNL_OBJ_NAME))
        else { return }
        counters.append(
            NFTCounter(
                name: String(cString: name), packets: nftnl_obj_get_u64(object, UInt16(NFTNL_OBJ_CTR_PKTS)),
                bytes: nftnl_obj_get_u64(object, UInt16(NFTNL_OBJ_CTR_BYTES))))
    }

    /// The comment in user data whose only value it is.
    private func comment(_ data: UnsafeRawPointer?, _ length: UInt32) -> String? {
        data.flatMap { NFTUserData.text(0, in: UnsafeRawBufferPointer(start: $0, count: Int(length))) }
    }
}

// MARK: - Elements

extension NFTDumpDecoder {
    private mutating func takeElements(_ message: UnsafePointer<nlmsghdr>) {
        guard let set = nftnl_set_alloc() else { return }
        defer { nftnl_set_free(set) }
        guard nftnl_set_elems_nlmsg_parse(message, set) == 0,
            let name = nftnl_set_get_str(set, UInt16(NFTNL_SET_NAME.rawValue)),
            let place = setPlaces[String(cString: name)], let iterator = nftnl_set_elems_iter_create(set)
        else { return }
        defer { nftnl_set_elems_iter_destroy(iterator) }
        while let element = nftnl_set_elems_iter_next(iterator) { take(decode(element), ofSetAt: place) }
    }

    private mutating func take(_ element: NFTKernelTable.Element, ofSetAt place: Int) {
        let set = sets[place].name
        switch elements {
        case .kept, .ofSets, .none: break
        case .digested where sets[place].isAnonymous: break
        case .digested:
            if !sets[place].isDynamic { digests.add(element, of: set) }
            return
        case .selected(let selection):
            guard selection.contains(element.key, of: set) else { return }
        }
        sets[place].elements.append(element)
    }

    private func decode(_ element: OpaquePointer) -> NFTKernelTable.Element {
        func has(_ attribute: Int) -> Bool { nftnl_set_elem_is_set(element, UInt16(attribute)) }
        func bytes(_ attribute: Int) -> UnsafeRawBufferPointer {
            var length: UInt32 = 0
            let start = has(attribute) ? nftnl_set_elem_get(element, UInt16(attribute), &length) : nil
            return UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(length))
        }
        func text(_ attribute: Int) -> String? {
            has(attribute) ? nftnl_set_elem_get_str(element, UInt16(attribute)).map { String(cString: $0) } : nil
        }
        let datum: NFTKernelTable.Element.Datum
        if has(Int(NFTNL_SET_ELEM_VERDICT)) {
            let code = nftnl_set_elem_get_u32(element, UInt16(NFTNL_SET_ELEM_VERDICT))
            datum = NFTVerdict(code: code, chain: text(Int(NFTNL_SET_ELEM_CHAIN))).map { .verdict($0) } ?? .none
        } else if let counter = text(Int(NFTNL_SET_ELEM_OBJREF)) {
            datum = .counter(counter)
        } else {
            let value = bytes(Int(NFTNL_SET_ELEM_DATA))
            datum = value.isEmpty ? .none : .bytes(Array(value))
        }
        let userData = bytes(Int(NFTNL_SET_ELEM_USERDATA))
        return .init(
            key: Array(bytes(Int(NFTNL_SET_ELEM_KEY))), datum: datum,
            comment: NFTUserData.text(0, in: userData),
            flags: has(Int(NFTNL_SET_ELEM_FLAGS))
                ? nftnl_set_elem_get_u32(element, UInt16(NFTNL_SET_ELEM_FLAGS)) : 0)
    }
}

extension NFTVerdict {
    /// By NF_DROP, NF_ACCEPT and NFT_JUMP, NFT_GOTO, NFT_RETURN, which are negative; nil for others.
    init?(code: UInt32, chain: String?) {
        switch (Int(Int32(bitPattern: code)), chain) {
        case (0, _): self = .drop
        case (1, _): self = .accept
        case (Int(NFT_JUMP.rawValue), let chain?): self = .jump(chain)
        case (Int(NFT_GOTO.rawValue), let chain?): self = .goto(chain)
        case (Int(NFT_RETURN.rawValue), _): self = .return
        default: return nil
        }
    }
}
