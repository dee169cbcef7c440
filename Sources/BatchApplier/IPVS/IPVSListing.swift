import CMnl
import Glibc
import ProxyCore
import SystemPackage

/// Virtual and real servers out of the kernel's messages.
enum IPVSListing {
    /// A listing that passes over nothing, out of as many as it takes.
    ///
    /// The kernel goes on with a listing at the place where it was, counted from its beginning
    /// (`ip_vs_genl_dump_services`, net/netfilter/ipvs/ip_vs_ctl.c): where a virtual server that was listed goes
    /// meanwhile, of whichever family, another is passed over. So two listings have to be of the same ones.
    static func whole<Value>(
        _ list: () throws(NetlinkError) -> [VirtualServer.Key: Value]
    ) throws(NetlinkError) -> [VirtualServer.Key: Value] {
        var before: Set<VirtualServer.Key>?
        for _ in 0..<attempts {
            let servers = try list()
            let keys = Set(servers.keys)
            if keys == before { return servers }
            before = keys
        }
        throw NetlinkError(operation: "list the virtual servers", errno: .interrupted)
    }

    private static let attempts = 100

    /// Nil for what is not told apart by address, protocol and port: those of a firewall mark are not ours.
    static func server(_ message: NetlinkMessage) -> (VirtualServer.Key, FoundVirtualServer)? {
        guard let attributes = message.genericAttributes[IPVS_CMD_ATTR_SERVICE]?.nested,
            attributes[IPVS_SVC_ATTR_FWMARK] == nil,
            let number = attributes[IPVS_SVC_ATTR_AF]?.payload.hostEndian(UInt16.self),
            let family = IPFamily(number: Int32(number)),
            let address = attributes[IPVS_SVC_ATTR_ADDR].flatMap({ IPAddress(padded: $0.payload, family) }),
            let transport = attributes[IPVS_SVC_ATTR_PROTOCOL]?.payload.hostEndian(UInt16.self)
                .flatMap({ TransportProtocol(number: Int($0)) }),
            let port = attributes[IPVS_SVC_ATTR_PORT]?.payload.bigEndian(UInt16.self),
            let scheduler = attributes[IPVS_SVC_ATTR_SCHED_NAME]?.payload.string
        else { return nil }
        let flags = attributes[IPVS_SVC_ATTR_FLAGS]?.payload.hostEndian(UInt32.self) ?? 0
        let mask = attributes[IPVS_SVC_ATTR_NETMASK]?.payload.hostEndian(UInt32.self) ?? 0
        let found = FoundVirtualServer(
            scheduler: IPVSScheduler(scheduler),
            // The kernel's own, of every server.
            flags: .init(rawValue: flags & ~UInt32(IP_VS_SVC_F_HASHED)),
            persistenceSeconds: number32(attributes, IPVS_SVC_ATTR_TIMEOUT),
            persistencePrefixLength: family == .ipv4 ? mask.nonzeroBitCount : Int(mask))
        return (VirtualServer.Key(address, transport, port), found)
    }

    /// - Parameter family: of the virtual server, where the kernel does not name that of the real one (before 3.18).
    static func realServer(_ message: NetlinkMessage, of family: IPFamily) -> (RealServer, FoundRealServer)? {
        guard let attributes = message.genericAttributes[IPVS_CMD_ATTR_DEST]?.nested else { return nil }
        let own = attributes[IPVS_DEST_ATTR_ADDR_FAMILY]?.payload.hostEndian(UInt16.self)
            .flatMap { IPFamily(number: Int32($0)) }
        guard
            let address = attributes[IPVS_DEST_ATTR_ADDR]
                .flatMap({ IPAddress(padded: $0.payload, own ?? family) }),
            let port = attributes[IPVS_DEST_ATTR_PORT]?.payload.bigEndian(UInt16.self),
            let method = attributes[IPVS_DEST_ATTR_FWD_METHOD]?.payload.hostEndian(UInt32.self)
        else { return nil }
        let found = FoundRealServer(
            forwarding: .init(method), weight: number32(attributes, IPVS_DEST_ATTR_WEIGHT),
            activeConnections: number32(attributes, IPVS_DEST_ATTR_ACTIVE_CONNS),
            inactiveConnections: number32(attributes, IPVS_DEST_ATTR_INACT_CONNS),
            persistentConnections: number32(attributes, IPVS_DEST_ATTR_PERSIST_CONNS))
        return (RealServer(address, port), found)
    }

    private static func number32(_ attributes: NetlinkAttributes, _ type: Int) -> Int {
        Int(attributes[type]?.payload.hostEndian(UInt32.self) ?? 0)
    }
}

extension FoundRealServer.Forwarding {
    fileprivate init(_ method: UInt32) {
        self =
            switch Int32(truncatingIfNeeded: method) & IP_VS_CONN_F_FWD_MASK {
            case IP_VS_CONN_F_MASQ: .masquerading
            case IP_VS_CONN_F_LOCALNODE: .localNode
            case IP_VS_CONN_F_TUNNEL: .tunnel
            case IP_VS_CONN_F_DROUTE: .directRouting
            case IP_VS_CONN_F_BYPASS: .bypass
            default: .other
            }
    }
}

extension IPAddress {
    /// An address of one of the two families out of 16 bytes. Nil for an IPv4 address that stands for IPv6 in its
    /// mapped form: we write none.
    fileprivate init?(padded bytes: ArraySlice<UInt8>, _ family: IPFamily) {
        let size = family.bitWidth / 8
        guard bytes.count >= size else { return nil }
        self.init(networkBytes: bytes.prefix(size))
        guard self.family == family else { return nil }
    }
}

extension IPFamily {
    /// Nil for the numbers of other address families.
    init?(number: Int32) {
        switch number {
        case AF_INET: self = .ipv4
        case AF_INET6: self = .ipv6
        default: return nil
        }
    }
}
