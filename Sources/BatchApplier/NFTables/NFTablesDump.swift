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
    public let messages: [Message]
}

/// Lists a table, and hands out what the kernel says of it message by message.
struct NFTablesListing {
    let family: IPFamily
    let table: String
    /// Whether the elements of a set are listed.
    let isSetListed: (String) -> Bool

    /// Returns false where the table is not there. Throws `interrupted` where something changed meanwhile.
    func read(
        _ socket: inout NetlinkSocket, _ take: (NFTablesDump.Message) -> Void
    ) throws(NetlinkError) -> Bool {
        do throws(NetlinkError) {
            let request = request(NFT_MSG_GETTABLE) { $0.put(Int(NFTA_TABLE_NAME.rawValue), string: table) }
            take(.init(try socket.ask(request, operation: "read table \(table)")))
        } catch  where error.isNotFound {
            return false
        }
        var sets: [(name: String, isDynamic: Bool)] = []
        try list(NFT_MSG_GETCHAIN, Int(NFTA_CHAIN_TABLE.rawValue), &socket, take)
        try list(NFT_MSG_GETRULE, Int(NFTA_RULE_TABLE.rawValue), &socket, take)
        try list(NFT_MSG_GETSET, Int(NFTA_SET_TABLE.rawValue), &socket) { message in
            let attributes = NetlinkAttributes(message.payload[...].dropFirst(NetlinkLayout.netfilterHeader))
            let flags = attributes[Int(NFTA_SET_FLAGS.rawValue)]?.payload.bigEndian(UInt32.self) ?? 0
            if let name = attributes[Int(NFTA_SET_NAME.rawValue)]?.payload.string {
                sets.append((name, flags & NFT_SET_EVAL.rawValue != 0))
            }
            take(message)
        }
        try readObjects(&socket, take)
        for set in sets where isSetListed(set.name) { try listElements(of: set.name, set.isDynamic, &socket, take) }
        return true
    }

    private func listElements(
        of set: String, _ isDynamic: Bool, _ socket: inout NetlinkSocket, _ take: (NFTablesDump.Message) -> Void
    ) throws(NetlinkError) {
        let request = request(NFT_MSG_GETSETELEM) {
            $0.put(Int(NFTA_SET_ELEM_LIST_TABLE.rawValue), string: table)
            $0.put(Int(NFTA_SET_ELEM_LIST_SET.rawValue), string: set)
        }
        let operation = "list set \(set) of table \(table)"
        var listing = SetListing()
        try socket.dump(request, operation: operation) { message in
            listing.received(message)
            take(.init(message))
        }
        // Packets change a set that rules add to, at any time.
        if listing.hasRepetitions, !isDynamic { throw NetlinkError(operation: operation, errno: .interrupted) }
    }

    /// Lists the counters and other objects of a table; none where it is not there.
    func readObjects(
        _ socket: inout NetlinkSocket, _ take: (NFTablesDump.Message) -> Void
    ) throws(NetlinkError) {
        try list(NFT_MSG_GETOBJ, Int(NFTA_OBJ_TABLE.rawValue), &socket, take)
    }

    /// Lists the objects of a kind. Kernels that do not filter by table list those of others too.
    private func list(
        _ message: nf_tables_msg_types, _ tableAttribute: Int, _ socket: inout NetlinkSocket,
        _ take: (NFTablesDump.Message) -> Void
    ) throws(NetlinkError) {
        let request = request(message) { $0.put(tableAttribute, string: table) }
        try socket.dump(request, operation: "list what is in table \(table)") { message in
            if message.netfilterAttributes[tableAttribute]?.payload.string == table { take(.init(message)) }
        }
    }

    private func request(
        _ message: nf_tables_msg_types, _ attributes: (inout NetlinkWriter) -> Void
    ) -> NetlinkBatch {
        var batch = NetlinkBatch()
        batch.append(
            subsystem: NFNL_SUBSYS_NFTABLES, message: Int(message.rawValue),
            family: UInt8(family == .ipv4 ? AF_INET : AF_INET6), attributes)
        return batch
    }
}

extension NFTablesDump.Message {
    fileprivate init(_ message: NetlinkMessage) {
        self.init(type: message.netfilterType, payload: Array(message.payload))
    }
}
