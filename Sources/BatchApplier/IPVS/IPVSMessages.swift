import CMnl
import Glibc
import ProxyCore

/// The messages of IPVS over generic netlink (linux/ip_vs.h). Numbers are in the host's byte order, but for addresses,
/// ports and the netmask of IPv4.
struct IPVSMessages {
    /// The number of the family "IPVS".
    let family: UInt16

    static func find(_ socket: inout NetlinkSocket) throws(NetlinkError) -> IPVSMessages {
        IPVSMessages(family: try GenericNetlink.number(of: IPVS_GENL_NAME, &socket))
    }

    /// Asks for all virtual servers, of both families: the kernel does not choose.
    func listServers() -> NetlinkBatch {
        var batch = NetlinkBatch()
        append(IPVS_CMD_GET_SERVICE, to: &batch) { _ in }
        return batch
    }

    /// Asks for one virtual server. ESRCH where it is not there.
    func find(_ key: VirtualServer.Key) -> NetlinkBatch {
        var batch = NetlinkBatch()
        append(IPVS_CMD_GET_SERVICE, to: &batch) { $0.put(key, nil) }
        return batch
    }

    /// Asks for the real servers of one. There are none where the virtual server is not there.
    func listRealServers(of key: VirtualServer.Key) -> NetlinkBatch {
        var batch = NetlinkBatch()
        append(IPVS_CMD_GET_DEST, to: &batch) { $0.put(key, nil) }
        return batch
    }

    func append(_ change: IPVSChange, to batch: inout NetlinkBatch) {
        switch change {
        case .addServer(let key, let server): append(IPVS_CMD_NEW_SERVICE, to: &batch) { $0.put(key, server) }
        case .changeServer(let key, let server): append(IPVS_CMD_SET_SERVICE, to: &batch) { $0.put(key, server) }
        case .deleteServer(let key): append(IPVS_CMD_DEL_SERVICE, to: &batch) { $0.put(key, nil) }
        case .addRealServer(let server, let weight, let key):
            append(IPVS_CMD_NEW_DEST, to: &batch) {
                $0.put(key, nil)
                $0.put(server, weight: weight)
            }
        case .changeRealServer(let server, let weight, let key):
            append(IPVS_CMD_SET_DEST, to: &batch) {
                $0.put(key, nil)
                $0.put(server, weight: weight)
            }
        case .deleteRealServer(let server, let key):
            append(IPVS_CMD_DEL_DEST, to: &batch) {
                $0.put(key, nil)
                $0.put(server, weight: nil)
            }
        }
    }

    func append(_ timeouts: IPVSTimeouts, to batch: inout NetlinkBatch) {
        append(IPVS_CMD_SET_CONFIG, to: &batch) {
            let values = [
                (IPVS_CMD_ATTR_TIMEOUT_TCP, timeouts.tcp), (IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, timeouts.tcpFin),
                (IPVS_CMD_ATTR_TIMEOUT_UDP, timeouts.udp),
            ]
            for case (let type, let seconds?) in values { $0.put(type, hostEndian: UInt32(clamping: seconds)) }
        }
    }

    private func append(_ command: Int, to batch: inout NetlinkBatch, _ attributes: (inout NetlinkWriter) -> Void) {
        batch.append(
            type: family, header: [UInt8(truncatingIfNeeded: command), UInt8(IPVS_GENL_VERSION), 0, 0], attributes)
    }
}

extension NetlinkWriter {
    /// - Parameter server: nil where only the key is needed.
    fileprivate mutating func put(_ key: VirtualServer.Key, _ server: VirtualServer?) {
        let family = key.address.family
        nest(IPVS_CMD_ATTR_SERVICE) { service in
            service.put(IPVS_SVC_ATTR_AF, hostEndian: UInt16(family.number))
            service.put(IPVS_SVC_ATTR_PROTOCOL, hostEndian: UInt16(key.protocol.number))
            service.put(IPVS_SVC_ATTR_ADDR, key.address.paddedBytes)
            service.put(IPVS_SVC_ATTR_PORT, bigEndian: key.port)
            guard let server else { return }
            service.put(IPVS_SVC_ATTR_SCHED_NAME, string: server.scheduler.name)
            // ip_vs_flags: the flags, and which of them count.
            let flags = [server.flags.rawValue, UInt32.max]
            service.put(IPVS_SVC_ATTR_FLAGS, flags.withUnsafeBytes { Array($0) })
            service.put(IPVS_SVC_ATTR_TIMEOUT, hostEndian: UInt32(clamping: server.persistenceSeconds ?? 0))
            // Clients are told apart by all bits: a mask for IPv4, the length of the prefix for IPv6.
            service.put(IPVS_SVC_ATTR_NETMASK, hostEndian: family == .ipv4 ? UInt32.max : 128)
        }
    }

    /// - Parameter weight: nil where only the address and the port are needed.
    fileprivate mutating func put(_ server: RealServer, weight: Int?) {
        nest(IPVS_CMD_ATTR_DEST) {
            $0.put(IPVS_DEST_ATTR_ADDR, server.address.paddedBytes)
            $0.put(IPVS_DEST_ATTR_PORT, bigEndian: server.port)
            // Since 3.18; the kernels before take the virtual server's.
            $0.put(IPVS_DEST_ATTR_ADDR_FAMILY, hostEndian: UInt16(server.address.family.number))
            guard let weight else { return }
            $0.put(IPVS_DEST_ATTR_FWD_METHOD, hostEndian: UInt32(IP_VS_CONN_F_MASQ))
            $0.put(IPVS_DEST_ATTR_WEIGHT, hostEndian: UInt32(clamping: weight))
            // Connections without bounds, which the kernel wants to be told.
            $0.put(IPVS_DEST_ATTR_U_THRESH, hostEndian: UInt32(0))
            $0.put(IPVS_DEST_ATTR_L_THRESH, hostEndian: UInt32(0))
        }
    }
}

extension IPAddress {
    /// As IPVS has addresses of either family: 16 bytes, of which IPv4 uses the first four.
    fileprivate var paddedBytes: [UInt8] {
        let bytes = networkBytes
        return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
    }
}

extension TransportProtocol {
    /// The number of IP (netinet/in.h).
    var number: UInt8 {
        switch self {
        case .sctp: UInt8(IPPROTO_SCTP)
        case .tcp: UInt8(IPPROTO_TCP)
        case .udp: UInt8(IPPROTO_UDP)
        }
    }

    /// Nil for a number that no Service port can have.
    init?(number: Int) {
        guard let found = Self.allCases.first(where: { Int($0.number) == number }) else { return nil }
        self = found
    }
}
