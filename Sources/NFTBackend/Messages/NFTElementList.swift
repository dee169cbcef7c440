import CNftnl
import ProxyCore

/// Elements of one set that are added, or deleted, one after the other.
///
/// Their attributes are written here and not by libnftnl, which allocates and frees four objects for each of them: of
/// 100,000 elements that took a third of the time in which the kernel takes them over.
struct NFTElementList {
    let type: nf_tables_msg_types
    let set: String
    /// By which the set is named that the same transaction makes without a name of its own.
    private let number: UInt32?
    private let table: String
    /// The attributes of the elements that wait.
    private var bytes: [UInt8] = []

    /// The length of a list stands in 16 bits, and the kernel does not notice where it wraps. So many bytes end a
    /// message; one element takes less than a kilobyte, and a step of endpoints less than nine.
    private static let limit = 52_000
    private static let step = 128

    init(_ type: nf_tables_msg_types, set: String, number: UInt32? = nil, table: String) {
        self.type = type
        self.set = set
        self.number = number
        self.table = table
    }

    mutating func add(_ element: NFTKernelTable.Element, _ messages: inout NFTMessageWriter) {
        bytes.append(element)
        if bytes.count >= Self.limit { write(to: &messages) }
    }

    mutating func add(_ list: NFTEndpointList, _ family: IPFamily, _ messages: inout NFTMessageWriter) {
        var key: [UInt8] = []
        key.append(list.prefix + [.number(0)], family)
        var template: [UInt8] = []
        let noDatum = [UInt8](repeating: 0, count: family.bitWidth / 8 + 4)
        template.append(NFTKernelTable.Element(key: key, datum: .bytes(noDatum)))
        // Behind the headers of the element, the key and its value, and those of the datum and its value.
        let place = (index: 12 + key.count - 4, datum: 12 + key.count + 8)
        var next = 0
        while next < list.endpoints.count {
            let endpoints = list.endpoints[next...].prefix(Self.step)
            let start = bytes.count
            bytes.append(contentsOf: repeatElement(0, count: endpoints.count * template.count))
            bytes.withUnsafeMutableBytes { room in
                var offset = start
                for (index, endpoint) in zip(endpoints.indices, endpoints) {
                    UnsafeMutableRawBufferPointer(rebasing: room[offset...]).copyBytes(from: template)
                    room.storeBytes(
                        of: list.firstIndex + UInt32(index), toByteOffset: offset + place.index, as: UInt32.self)
                    endpoint.store(family, in: room, at: offset + place.datum)
                    offset += template.count
                }
            }
            next = endpoints.endIndex
            if bytes.count >= Self.limit { write(to: &messages) }
        }
    }

    mutating func write(to messages: inout NFTMessageWriter) {
        guard !bytes.isEmpty else { return }
        var attributes: [UInt8] = []
        attributes.reserveCapacity(bytes.count + 128)
        attributes.append(NFTA_SET_ELEM_LIST_TABLE) { $0.append(zeroTerminated: table) }
        attributes.append(NFTA_SET_ELEM_LIST_SET) { $0.append(zeroTerminated: set) }
        if let number { attributes.append(NFTA_SET_ELEM_LIST_SET_ID) { $0.append(bigEndian: number) } }
        attributes.append(NFTA_SET_ELEM_LIST_ELEMENTS, isNest: true) { $0 += bytes }
        bytes.removeAll(keepingCapacity: true)
        messages.append(type, flags: type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, attributes)
    }
}

extension NFTEndpoint {
    /// Stores the address and the port as the datum of a map has them, in network byte order.
    fileprivate func store(_ family: IPFamily, in bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        switch family {
        case .ipv4: bytes.storeBytes(of: address.ipv4Bits.bigEndian, toByteOffset: offset, as: UInt32.self)
        case .ipv6:
            bytes.storeBytes(of: address.high.bigEndian, toByteOffset: offset, as: UInt64.self)
            bytes.storeBytes(of: address.low.bigEndian, toByteOffset: offset + 8, as: UInt64.self)
        }
        bytes.storeBytes(of: port.bigEndian, toByteOffset: offset + family.bitWidth / 8, as: UInt16.self)
    }
}

// Attributes of netlink: the length and the type in the byte order of the host, then the value, padded to four bytes.
extension [UInt8] {
    /// Adds an element of a list.
    fileprivate mutating func append(_ element: NFTKernelTable.Element) {
        append(NFTA_LIST_ELEM, isNest: true) { attributes in
            attributes.append(NFTA_SET_ELEM_KEY, isNest: true) { nest in
                nest.append(NFTA_DATA_VALUE) { $0 += element.key }
            }
            switch element.datum {
            case .none: break
            case .bytes(let bytes):
                attributes.append(NFTA_SET_ELEM_DATA, isNest: true) { nest in
                    nest.append(NFTA_DATA_VALUE) { $0 += bytes }
                }
            case .counter(let name): attributes.append(NFTA_SET_ELEM_OBJREF) { $0.append(zeroTerminated: name) }
            case .verdict(let verdict):
                attributes.append(NFTA_SET_ELEM_DATA, isNest: true) { nest in
                    nest.append(NFTA_DATA_VERDICT, isNest: true) { $0.append(verdict) }
                }
            }
            if element.flags != 0 { attributes.append(NFTA_SET_ELEM_FLAGS) { $0.append(bigEndian: element.flags) } }
            if let comment = element.comment {
                attributes.append(NFTA_SET_ELEM_USERDATA) { $0 += NFTUserData.comment(comment) }
            }
        }
    }

    private mutating func append(_ verdict: NFTVerdict) {
        append(NFTA_VERDICT_CODE) { $0.append(bigEndian: verdict.code) }
        if let chain = verdict.chain { append(NFTA_VERDICT_CHAIN) { $0.append(zeroTerminated: chain) } }
    }

    fileprivate mutating func append<Kind: RawRepresentable<UInt32>>(
        _ type: Kind, isNest: Bool = false, _ value: (inout [UInt8]) -> Void
    ) {
        let start = count
        append(contentsOf: [0, 0, 0, 0])
        value(&self)
        let length = UInt16(truncatingIfNeeded: count - start)
        let type = UInt16(truncatingIfNeeded: type.rawValue) | (isNest ? UInt16(NLA_F_NESTED) : 0)
        withUnsafeMutableBytes {
            $0.storeBytes(of: length, toByteOffset: start, as: UInt16.self)
            $0.storeBytes(of: type, toByteOffset: start + 2, as: UInt16.self)
        }
        while count % 4 != 0 { append(0) }
    }

    fileprivate mutating func append(zeroTerminated text: String) {
        append(contentsOf: text.utf8)
        append(0)
    }

    fileprivate mutating func append(bigEndian number: UInt32) {
        Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
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
