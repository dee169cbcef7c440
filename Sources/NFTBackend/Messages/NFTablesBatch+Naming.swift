import CNftnl
public import ProxyCore

extension NFTablesBatch {
    /// What a message of the batch is about, so that a refusal can be told: `rule of chain services`, or an element and
    /// the service port that it belongs to.
    ///
    /// - Parameters:
    ///   - index: the message's number.
    ///   - offset: a byte of the message, counted from its header; it tells which of several elements is meant.
    public func object(ofMessage index: Int, at offset: Int?) -> String? {
        guard offsets.indices.contains(index) else { return nil }
        let end = index + 1 < offsets.count ? offsets[index + 1] : bytes.count
        guard offsets[index] + 20 <= end, end <= bytes.count else { return nil }
        let message = Array(bytes[offsets[index]..<end])
        return message.withUnsafeBytes { buffer in
            guard let header = buffer.baseAddress?.assumingMemoryBound(to: nlmsghdr.self) else { return nil }
            switch nf_tables_msg_types(UInt32(header.pointee.nlmsg_type & 0xff)) {
            case NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE: return "table \(table)"
            case NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN: return Self.chain(header).map { "chain \($0)" }
            case NFT_MSG_NEWRULE, NFT_MSG_DELRULE: return Self.chainOfRule(header).map { "a rule of chain \($0)" }
            case NFT_MSG_NEWSET, NFT_MSG_DELSET: return Self.set(header).map { "set \($0)" }
            case NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM: return element(message, offset)
            default: return nil
            }
        }
    }

    private static func chain(_ message: UnsafePointer<nlmsghdr>) -> String? {
        guard let chain = nftnl_chain_alloc() else { return nil }
        defer { nftnl_chain_free(chain) }
        guard nftnl_chain_nlmsg_parse(message, chain) == 0 else { return nil }
        return nftnl_chain_get_str(chain, UInt16(NFTNL_CHAIN_NAME.rawValue)).map { String(cString: $0) }
    }

    private static func chainOfRule(_ message: UnsafePointer<nlmsghdr>) -> String? {
        guard let rule = nftnl_rule_alloc() else { return nil }
        defer { nftnl_rule_free(rule) }
        guard nftnl_rule_nlmsg_parse(message, rule) == 0 else { return nil }
        return nftnl_rule_get_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue)).map { String(cString: $0) }
    }

    private static func set(_ message: UnsafePointer<nlmsghdr>) -> String? {
        guard let set = nftnl_set_alloc() else { return nil }
        defer { nftnl_set_free(set) }
        guard nftnl_set_nlmsg_parse(message, set) == 0 else { return nil }
        return nftnl_set_get_str(set, UInt16(NFTNL_SET_NAME.rawValue)).map { String(cString: $0) }
    }

    /// The element in whose bytes the offset lies; where it lies in none, the set alone.
    private func element(_ message: [UInt8], _ offset: Int?) -> String? {
        let places = Self.elements(in: message)
        guard let set = nftnl_set_alloc() else { return nil }
        defer { nftnl_set_free(set) }
        let status = message.withUnsafeBytes { buffer in
            buffer.baseAddress.map { nftnl_set_elems_nlmsg_parse($0.assumingMemoryBound(to: nlmsghdr.self), set) }
        }
        guard status == 0,
            let name = nftnl_set_get_str(set, UInt16(NFTNL_SET_NAME.rawValue)).map({ String(cString: $0) })
        else { return nil }
        guard let offset, let number = places.firstIndex(where: { $0.contains(offset) }),
            let iterator = nftnl_set_elems_iter_create(set)
        else { return "elements of \(name)" }
        defer { nftnl_set_elems_iter_destroy(iterator) }
        var index = 0
        while let element = nftnl_set_elems_iter_next(iterator) {
            if index == number { return describe(element, of: name) }
            index += 1
        }
        return "elements of \(name)"
    }

    private func describe(_ element: OpaquePointer, of set: String) -> String {
        func bytes(_ attribute: Int) -> UnsafeRawBufferPointer {
            var length: UInt32 = 0
            let start = nftnl_set_elem_get(element, UInt16(attribute), &length)
            return UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(length))
        }
        // A batch of elements does not say what their keys are made of; of our own sets it is known.
        let sets = table == SharedMapsName.table ? SharedMapsSettings.sets(hasNodePortIPs: true, hasCounters: true) : []
        let type = sets.first { $0.name == set }?.key.number(family) ?? 0
        let key = NFTValueText.text(Array(bytes(Int(NFTNL_SET_ELEM_KEY))), type: type)
        let comment = NFTUserData.text(0, in: bytes(Int(NFTNL_SET_ELEM_USERDATA)))
        return "element \(key) of \(set)" + (comment.map { " (\($0))" } ?? "")
    }

    /// Where each element of the message's list is.
    private static func elements(in message: [UInt8]) -> [Range<Int>] {
        // Behind the headers of netlink and nfnetlink.
        let list = attributes(of: message, from: 20, to: message.count).first {
            type(of: $0, in: message) == Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)
        }
        return list.map { attributes(of: message, from: $0.lowerBound + 4, to: $0.upperBound) } ?? []
    }

    private static func number(at place: Int, in message: [UInt8]) -> Int {
        Int(message[place]) | Int(message[place + 1]) << 8
    }

    static func type(of attribute: Range<Int>, in message: [UInt8]) -> Int {
        number(at: attribute.lowerBound + 2, in: message) & 0x3fff
    }

    static func attributes(of message: [UInt8], from start: Int, to end: Int) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var place = start
        while place + 4 <= end {
            let length = number(at: place, in: message)
            guard length >= 4, place + length <= end else { break }
            found.append(place..<place + length)
            place += (length + 3) & ~3
        }
        return found
    }
}
