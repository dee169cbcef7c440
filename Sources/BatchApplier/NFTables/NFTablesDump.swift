import CMnl
import Glibc
import ProxyCore
import SystemPackage

/// A table of nf_tables as the kernel lists it.
public struct NFTablesDump: Sendable {
    /// One message: its number within nf_tables (`NFT_MSG_NEW…`), and what follows netlink's header.
    public struct Message: Sendable {
        public var type: UInt8
        public var payload: [UInt8]
    }

    /// The generation at which all of it was so.
    public let generation: UInt32
    /// The table, its chains, rules, sets, objects and elements, in this order.
    public internal(set) var messages: [Message] = []

    init(generation: UInt32) {
        self.generation = generation
    }

    /// Returns false where the table is not there. Throws `interrupted` where something changed meanwhile.
    mutating func read(
        _ family: IPFamily, _ table: String, withElements: Bool, _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> Bool {
        var request = NetlinkBatch()
        request.append(NFT_MSG_GETTABLE, family) { $0.put(Int(NFTA_TABLE_NAME.rawValue), string: table) }
        do throws(NetlinkError) {
            append(try socket.ask(request, operation: "read table \(table)"))
        } catch  where error.isNotFound {
            return false
        }
        try list(NFT_MSG_GETCHAIN, Int(NFTA_CHAIN_TABLE.rawValue), family, table, &socket)
        try list(NFT_MSG_GETRULE, Int(NFTA_RULE_TABLE.rawValue), family, table, &socket)
        let firstSet = messages.count
        try list(NFT_MSG_GETSET, Int(NFTA_SET_TABLE.rawValue), family, table, &socket)
        let sets = messages[firstSet...].map { message in
            NetlinkAttributes(message.payload[...].dropFirst(NetlinkLayout.netfilterHeader))
        }
        try list(NFT_MSG_GETOBJ, Int(NFTA_OBJ_TABLE.rawValue), family, table, &socket)
        guard withElements else { return true }
        for attributes in sets {
            guard let set = attributes[Int(NFTA_SET_NAME.rawValue)]?.payload.string else { continue }
            let flags = attributes[Int(NFTA_SET_FLAGS.rawValue)]?.payload.bigEndian(UInt32.self) ?? 0
            var listing = SetListing()
            var request = NetlinkBatch()
            request.append(NFT_MSG_GETSETELEM, family) {
                $0.put(Int(NFTA_SET_ELEM_LIST_TABLE.rawValue), string: table)
                $0.put(Int(NFTA_SET_ELEM_LIST_SET.rawValue), string: set)
            }
            let operation = "list set \(set) of table \(table)"
            try socket.dump(request, operation: operation) { message in
                listing.received(message)
                append(message)
            }
            // Packets change a set that rules add to, at any time.
            if listing.hasRepetitions, flags & NFT_SET_EVAL.rawValue == 0 {
                throw NetlinkError(operation: operation, errno: .interrupted)
            }
        }
        return true
    }

    /// Lists the objects of a kind. Kernels that do not filter by table list those of others too.
    private mutating func list(
        _ message: nf_tables_msg_types, _ tableAttribute: Int, _ family: IPFamily, _ table: String,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        var request = NetlinkBatch()
        request.append(message, family) { $0.put(tableAttribute, string: table) }
        try socket.dump(request, operation: "list what is in table \(table)") { message in
            if message.netfilterAttributes[tableAttribute]?.payload.string == table { append(message) }
        }
    }

    private mutating func append(_ message: NetlinkMessage) {
        messages.append(Message(type: message.netfilterType, payload: Array(message.payload)))
    }
}

extension NetlinkBatch {
    fileprivate mutating func append(
        _ message: nf_tables_msg_types, _ family: IPFamily, _ attributes: (inout NetlinkWriter) -> Void
    ) {
        append(
            subsystem: NFNL_SUBSYS_NFTABLES, message: Int(message.rawValue),
            family: UInt8(family == .ipv4 ? AF_INET : AF_INET6), attributes)
    }
}
