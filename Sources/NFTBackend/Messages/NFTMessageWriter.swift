import CNftnl
import ProxyCore

/// Collects messages one after the other.
struct NFTMessageWriter {
    private let family: IPFamily
    private(set) var bytes: [UInt8] = []
    private(set) var offsets: [Int] = []
    /// What could not be written, the first of it: the messages then say less than was meant.
    private(set) var fault: String?

    /// A list within a message has less than 64 KiB; all else is far smaller.
    private static let longestMessage = 128 << 10

    init(family: IPFamily) {
        self.family = family
    }

    /// Adds a message whose attributes `body` writes by libnftnl, which knows no end of the room that it is given.
    mutating func append(_ type: nf_tables_msg_types, flags: Int32, _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void) {
        offsets.append(bytes.count)
        withUnsafeTemporaryAllocation(byteCount: Self.longestMessage, alignment: 8) { room in
            let header = nftnl_nlmsg_build_hdr(
                room.baseAddress?.assumingMemoryBound(to: CChar.self),
                UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(truncatingIfNeeded: type.rawValue),
                UInt16(family.netfilterNumber), UInt16(truncatingIfNeeded: flags), 0)
            guard let header else { return fail("a message") }
            body(header)
            let length = min(Int(header.pointee.nlmsg_len), room.count)
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: room[..<length]))
        }
        while bytes.count % 4 != 0 { bytes.append(0) }
    }

    /// Notes that libnftnl has no memory for something, or does not know it.
    mutating func fail(_ object: String) {
        if fault == nil { fault = "libnftnl does not take \(object)" }
    }
}

/// Elements of one set that are added, or deleted, one after the other.
struct NFTElementList {
    let type: nf_tables_msg_types
    let set: String
    /// By which the set is named that the same transaction makes without a name of its own.
    private let number: UInt32?
    private let table: String
    private var elements: [NFTKernelTable.Element] = []

    /// About what fits in one message.
    private static let chunk = 1024

    init(_ type: nf_tables_msg_types, set: String, number: UInt32? = nil, table: String) {
        self.type = type
        self.set = set
        self.number = number
        self.table = table
    }

    mutating func add(_ element: NFTKernelTable.Element, _ messages: inout NFTMessageWriter) {
        elements.append(element)
        if elements.count == Self.chunk { write(to: &messages) }
    }

    mutating func write(to messages: inout NFTMessageWriter) {
        guard !elements.isEmpty else { return }
        guard let object = nftnl_set_alloc() else { return messages.fail("elements of \(set)") }
        // With its elements.
        defer { nftnl_set_free(object) }
        nftnl_set_set_str(object, UInt16(NFTNL_SET_TABLE.rawValue), table)
        nftnl_set_set_str(object, UInt16(NFTNL_SET_NAME.rawValue), set)
        if let number { nftnl_set_set_u32(object, UInt16(NFTNL_SET_ID.rawValue), number) }
        for element in elements {
            guard let encoded = Self.encode(element) else { return messages.fail("an element of \(set)") }
            nftnl_set_elem_add(object, encoded)
        }
        elements.removeAll(keepingCapacity: true)
        guard let iterator = nftnl_set_elems_iter_create(object) else {
            return messages.fail("elements of \(set)")
        }
        defer { nftnl_set_elems_iter_destroy(iterator) }
        var hasMore = true
        while hasMore {
            messages.append(type, flags: type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0) {
                hasMore = nftnl_set_elems_nlmsg_build_payload_iter($0, iterator) > 0
            }
        }
    }

    private static func encode(_ element: NFTKernelTable.Element) -> OpaquePointer? {
        guard let object = nftnl_set_elem_alloc() else { return nil }
        func put(_ attribute: Int, _ bytes: [UInt8]) {
            nftnl_set_elem_set(object, UInt16(attribute), bytes, UInt32(truncatingIfNeeded: bytes.count))
        }
        put(Int(NFTNL_SET_ELEM_KEY), element.key)
        if element.flags != 0 { nftnl_set_elem_set_u32(object, UInt16(NFTNL_SET_ELEM_FLAGS), element.flags) }
        switch element.datum {
        case .none: break
        case .bytes(let bytes): put(Int(NFTNL_SET_ELEM_DATA), bytes)
        case .counter(let name): nftnl_set_elem_set_str(object, UInt16(NFTNL_SET_ELEM_OBJREF), name)
        case .verdict(let verdict):
            nftnl_set_elem_set_u32(object, UInt16(NFTNL_SET_ELEM_VERDICT), verdict.code)
            if let chain = verdict.chain { nftnl_set_elem_set_str(object, UInt16(NFTNL_SET_ELEM_CHAIN), chain) }
        }
        if let comment = element.comment { put(Int(NFTNL_SET_ELEM_USERDATA), NFTUserData.comment(comment)) }
        return object
    }
}

extension NFTVerdict {
    /// NF_DROP, NF_ACCEPT and NFT_JUMP, NFT_GOTO, NFT_RETURN, which are negative.
    var code: UInt32 {
        switch self {
        case .drop: 0
        case .accept: 1
        case .jump: UInt32(bitPattern: Int32(NFT_JUMP.rawValue))
        case .goto: UInt32(bitPattern: Int32(NFT_GOTO.rawValue))
        case .return: UInt32(bitPattern: Int32(NFT_RETURN.rawValue))
        }
    }

    /// The chain that it leads to.
    var chain: String? {
        switch self {
        case .jump(let chain), .goto(let chain): chain
        case .accept, .drop, .return: nil
        }
    }
}
