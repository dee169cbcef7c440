import CNftnl
public import ProxyCore

extension NFTablesBatch {
    /// The messages of a transaction, in the order of its changes. Elements of one set share messages where they follow
    /// each other, or where they come at the end. Where libnftnl does not take something, the batch has a `fault`.
    public init(_ transaction: NFTTransaction) {
        var encoder = NFTEncoder(transaction.table)
        for change in transaction.steps { encoder.append(change) }
        encoder.finishElements()
        transaction.forEachAddition { encoder.addAtEnd($0) }
        encoder.finishElements()
        self.init(
            family: transaction.table.family, table: transaction.table.name, bytes: encoder.messages.bytes,
            offsets: encoder.messages.offsets)
        fault = encoder.messages.fault
    }
}

/// Turns changes into messages.
struct NFTEncoder {
    private let table: NFTTable.Identity
    private var compiler: RuleCompiler
    private var setNumber: UInt32 = 0
    /// Elements that wait for others of their set.
    private var elements: NFTElementList?
    /// The same, of all sets, for those that come at the end.
    private var lastElements: [String: NFTElementList] = [:]
    private(set) var messages: NFTMessageWriter

    init(_ table: NFTTable.Identity) {
        self.table = table
        compiler = RuleCompiler(table.family)
        messages = NFTMessageWriter(family: table.family)
    }

    mutating func append(_ change: NFTChange) {
        switch change {
        case .addElement(let element):
            return add(.init(element, table.family), to: element.set, by: NFT_MSG_NEWSETELEM)
        case .deleteElement(let set, let key):
            var bytes: [UInt8] = []
            bytes.append(key, table.family)
            return add(.init(key: bytes), to: set, by: NFT_MSG_DELSETELEM)
        default: finishElements()
        }
        switch change {
        case .addElement, .deleteElement: break
        case .addTable: appendTable(NFT_MSG_NEWTABLE, table.name, comment: table.comment)
        case .addOtherTable(let name): appendTable(NFT_MSG_NEWTABLE, name, comment: nil)
        case .deleteTable(let name): appendTable(NFT_MSG_DELTABLE, name, comment: nil)
        case .addChain(let chain): append(chain)
        case .deleteChain(let name): appendChain(NFT_MSG_DELCHAIN, name) { _ in }
        case .addRule(let rule, let chain): append(rule, to: chain)
        case .flushChain(let name): appendRule(NFT_MSG_DELRULE, flags: 0, of: name) { _ in }
        case .addSet(let set): append(NFTKernelTable.Set(set, table.family))
        case .deleteSet(let name): deleteSet(name)
        case .flushSet(let name): flushElements(of: name)
        case .addCounter(let counter): appendCounter(NFT_MSG_NEWOBJ, counter)
        case .deleteCounter(let name): appendCounter(NFT_MSG_DELOBJ, NFTCounter(name: name))
        }
    }

    // MARK: Tables, chains, counters

    private mutating func appendTable(_ type: nf_tables_msg_types, _ name: String, comment: String?) {
        guard let object = nftnl_table_alloc() else { return messages.fail("table \(name)") }
        defer { nftnl_table_free(object) }
        nftnl_table_set_str(object, UInt16(NFTNL_TABLE_NAME.rawValue), name)
        if let comment {
            let data = NFTUserData.comment(Comment.shortened(comment))
            nftnl_table_set_data(object, UInt16(NFTNL_TABLE_USERDATA.rawValue), data, UInt32(data.count))
        }
        let flags = type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0
        messages.append(type, flags: flags) { nftnl_table_nlmsg_build_payload($0, object) }
    }

    private mutating func append(_ chain: NFTChain) {
        appendChain(NFT_MSG_NEWCHAIN, chain.name) { object in
            if let hook = chain.hook {
                nftnl_chain_set_str(object, UInt16(NFTNL_CHAIN_TYPE.rawValue), hook.kind.rawValue)
                nftnl_chain_set_u32(object, UInt16(NFTNL_CHAIN_HOOKNUM.rawValue), hook.point.number)
                nftnl_chain_set_s32(object, UInt16(NFTNL_CHAIN_PRIO.rawValue), hook.priority)
                // NF_ACCEPT, the policy that nft gives to a chain without one.
                nftnl_chain_set_u32(object, UInt16(NFTNL_CHAIN_POLICY.rawValue), 1)
            }
            if let comment = chain.comment {
                let data = NFTUserData.comment(Comment.shortened(comment))
                nftnl_chain_set_data(object, UInt16(NFTNL_CHAIN_USERDATA.rawValue), data, UInt32(data.count))
            }
        }
    }

    private mutating func appendChain(
        _ type: nf_tables_msg_types, _ name: String, _ body: (OpaquePointer) -> Void
    ) {
        guard let object = nftnl_chain_alloc() else { return messages.fail("chain \(name)") }
        defer { nftnl_chain_free(object) }
        nftnl_chain_set_str(object, UInt16(NFTNL_CHAIN_TABLE.rawValue), table.name)
        nftnl_chain_set_str(object, UInt16(NFTNL_CHAIN_NAME.rawValue), name)
        body(object)
        let flags = type == NFT_MSG_NEWCHAIN ? NLM_F_CREATE : 0
        messages.append(type, flags: flags) { nftnl_chain_nlmsg_build_payload($0, object) }
    }

    private mutating func appendCounter(_ type: nf_tables_msg_types, _ counter: NFTCounter) {
        guard let object = nftnl_obj_alloc() else { return messages.fail("counter \(counter.name)") }
        defer { nftnl_obj_free(object) }
        nftnl_obj_set_str(object, UInt16(NFTNL_OBJ_TABLE), table.name)
        nftnl_obj_set_str(object, UInt16(NFTNL_OBJ_NAME), counter.name)
        nftnl_obj_set_u32(object, UInt16(NFTNL_OBJ_TYPE), UInt32(NFT_OBJECT_COUNTER))
        if counter.packets > 0 || counter.bytes > 0 {
            nftnl_obj_set_u64(object, UInt16(NFTNL_OBJ_CTR_PKTS), counter.packets)
            nftnl_obj_set_u64(object, UInt16(NFTNL_OBJ_CTR_BYTES), counter.bytes)
        }
        let flags = type == NFT_MSG_NEWOBJ ? NLM_F_CREATE : 0
        messages.append(type, flags: flags) { nftnl_obj_nlmsg_build_payload($0, object) }
    }

    // MARK: Rules

    private mutating func append(_ rule: NFTRule, to chain: String) {
        let compiled = compiler.compile(rule.statements)
        var numbers: [String: UInt32] = [:]
        for set in compiled.sets {
            let number = append(set)
            numbers[set.name] = number
            var list = NFTElementList(NFT_MSG_NEWSETELEM, set: set.kernelName, number: number, table: table.name)
            for element in set.elements { list.add(element, &messages) }
            list.write(to: &messages)
        }
        append(compiled.expressions, setNumbers: numbers, comment: rule.comment, to: chain)
    }

    /// A rule of expressions.
    ///
    /// - Parameter setNumbers: by which sets are named that the same transaction makes without a name of their own.
    mutating func append(
        _ expressions: [NFTExpression], setNumbers: [String: UInt32] = [:], comment: String? = nil, to chain: String
    ) {
        var unknown: NFTExpression?
        appendRule(NFT_MSG_NEWRULE, flags: NLM_F_CREATE | NLM_F_APPEND, of: chain) { object in
            for expression in expressions {
                // A rule without one of its matches would do to all packets what was meant for some.
                guard let encoded = NFTExpressionEncoder.encode(expression, setNumbers: setNumbers) else {
                    unknown = expression
                    return
                }
                nftnl_rule_add_expr(object, encoded)
            }
            if let comment {
                let data = NFTUserData.comment(Comment.shortened(comment))
                nftnl_rule_set_data(object, UInt16(NFTNL_RULE_USERDATA.rawValue), data, UInt32(data.count))
            }
        }
        if let unknown { messages.fail("the expression \(unknown.kernelName) in a rule of chain \(chain)") }
    }

    private mutating func appendRule(
        _ type: nf_tables_msg_types, flags: Int32, of chain: String, _ body: (OpaquePointer) -> Void
    ) {
        guard let object = nftnl_rule_alloc() else { return messages.fail("a rule of chain \(chain)") }
        // With its expressions.
        defer { nftnl_rule_free(object) }
        nftnl_rule_set_str(object, UInt16(NFTNL_RULE_TABLE.rawValue), table.name)
        nftnl_rule_set_str(object, UInt16(NFTNL_RULE_CHAIN.rawValue), chain)
        body(object)
        messages.append(type, flags: flags) { nftnl_rule_nlmsg_build_payload($0, object) }
    }

    // MARK: Sets

    /// Returns the number by which the rules and elements of the transaction name the set.
    @discardableResult
    private mutating func append(_ set: NFTKernelTable.Set) -> UInt32 {
        guard let object = nftnl_set_alloc() else {
            messages.fail("set \(set.name)")
            return 0
        }
        defer { nftnl_set_free(object) }
        setNumber += 1
        func put(_ attribute: nftnl_set_attr, _ number: UInt32) {
            nftnl_set_set_u32(object, UInt16(attribute.rawValue), number)
        }
        nftnl_set_set_str(object, UInt16(NFTNL_SET_TABLE.rawValue), table.name)
        nftnl_set_set_str(object, UInt16(NFTNL_SET_NAME.rawValue), set.kernelName)
        put(NFTNL_SET_ID, setNumber)
        put(NFTNL_SET_FLAGS, set.flags)
        put(NFTNL_SET_KEY_TYPE, set.keyType)
        put(NFTNL_SET_KEY_LEN, set.keyLength)
        if set.datumType != 0 {
            put(NFTNL_SET_DATA_TYPE, set.datumType)
            put(NFTNL_SET_DATA_LEN, set.datumLength)
        }
        if let type = set.objectType { put(NFTNL_SET_OBJ_TYPE, type) }
        if let size = set.size { put(NFTNL_SET_DESC_SIZE, size) }
        if let timeout = set.timeout { nftnl_set_set_u64(object, UInt16(NFTNL_SET_TIMEOUT.rawValue), timeout) }
        var userData = NFTUserData(bytes: set.userData)
        if let comment = set.comment { userData.put(Int(NFTNL_UDATA_SET_COMMENT.rawValue), comment) }
        if !userData.bytes.isEmpty {
            nftnl_set_set_data(
                object, UInt16(NFTNL_SET_USERDATA.rawValue), userData.bytes, UInt32(userData.bytes.count))
        }
        messages.append(NFT_MSG_NEWSET, flags: NLM_F_CREATE) { nftnl_set_nlmsg_build_payload($0, object) }
        return setNumber
    }

    private mutating func deleteSet(_ name: String) {
        withSet(name) { object, messages in
            messages.append(NFT_MSG_DELSET, flags: 0) { nftnl_set_nlmsg_build_payload($0, object) }
        }
    }

    private mutating func flushElements(of name: String) {
        withSet(name) { object, messages in
            messages.append(NFT_MSG_DELSETELEM, flags: 0) { nftnl_set_elems_nlmsg_build_payload($0, object) }
        }
    }

    private mutating func withSet(_ name: String, _ body: (OpaquePointer, inout NFTMessageWriter) -> Void) {
        guard let object = nftnl_set_alloc() else { return messages.fail("set \(name)") }
        defer { nftnl_set_free(object) }
        nftnl_set_set_str(object, UInt16(NFTNL_SET_TABLE.rawValue), table.name)
        nftnl_set_set_str(object, UInt16(NFTNL_SET_NAME.rawValue), name)
        body(object, &messages)
    }

    // MARK: Elements

    private mutating func add(_ element: NFTKernelTable.Element, to set: String, by type: nf_tables_msg_types) {
        if elements?.set != set || elements?.type != type {
            finishElements()
            elements = NFTElementList(type, set: set, table: table.name)
        }
        elements?.add(element, &messages)
    }

    /// Adds what only other additions follow.
    mutating func addAtEnd(_ addition: NFTAddition) {
        func list(_ set: String) -> NFTElementList { NFTElementList(NFT_MSG_NEWSETELEM, set: set, table: table.name) }
        switch addition {
        case .element(let element):
            let set = element.set
            lastElements[set, default: list(set)].add(.init(element, table.family), &messages)
        case .endpoints(let endpoints):
            let set = endpoints.set
            lastElements[set, default: list(set)].add(endpoints, table.family, &messages)
        }
    }

    mutating func finishElements() {
        elements?.write(to: &messages)
        elements = nil
        for set in lastElements.keys.sorted() { lastElements[set]?.write(to: &messages) }
        lastElements = [:]
    }
}

extension NFTKernelTable.Set {
    /// By which the kernel is told of it: it makes the number in the name of a set without a name of its own.
    var kernelName: String { isAnonymous ? (datumType == 0 ? "__set%d" : "__map%d") : name }
}

extension NFTChain.Hook.Point {
    /// NF_INET_… of linux/netfilter.h.
    var number: UInt32 {
        switch self {
        case .prerouting: 0
        case .input: 1
        case .forward: 2
        case .output: 3
        case .postrouting: 4
        }
    }
}
