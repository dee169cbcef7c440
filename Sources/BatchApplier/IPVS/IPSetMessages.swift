import CMnl
import Glibc
import ProxyCore
import SystemPackage

/// The messages of sets (linux/netfilter/ipset/ip_set.h). Numbers of more than a byte are in network order, which has
/// to be flagged, and only the numbers of lines are in the host's.
struct IPSetMessages {
    /// The version of the protocol that is spoken.
    let version: UInt8

    /// Asks the kernel for the version that it speaks. Throws `protocolNotSupported` where it has no sets.
    static func find(_ socket: inout NetlinkSocket) throws(NetlinkError) -> IPSetMessages {
        let operation = "ask for the protocol of the sets"
        let question = IPSetMessages(version: UInt8(IPSET_PROTOCOL)).request(IPSET_CMD_PROTOCOL)
        let attributes: NetlinkAttributes
        do throws(NetlinkError) {
            attributes = try socket.ask(question, operation: operation).netfilterAttributes
        } catch  where error.errno == .invalidArgument {
            // What nfnetlink says of a subsystem that it does not have.
            throw NetlinkError(operation: operation, errno: .protocolNotSupported)
        }
        guard let newest = attributes[IPSET_ATTR_PROTOCOL]?.payload.first else {
            throw NetlinkError(operation: operation, errno: .badMessage)
        }
        let oldest = attributes[IPSET_ATTR_PROTOCOL_MIN]?.payload.first ?? newest
        guard newest >= UInt8(IPSET_PROTOCOL_MIN), oldest <= UInt8(IPSET_PROTOCOL) else {
            throw NetlinkError(operation: operation, errno: .protocolNotSupported)
        }
        return IPSetMessages(version: min(newest, UInt8(IPSET_PROTOCOL)))
    }

    /// A set that is there and has the same options is left as it is.
    func create(_ name: String, _ kind: IPSet.Kind, _ family: IPFamily) -> NetlinkBatch {
        request(IPSET_CMD_CREATE, name) {
            $0.put(IPSET_ATTR_TYPENAME, string: kind.rawValue)
            // The first that knows SCTP, which every kernel since 3.10 has; later ones add what we do not use.
            $0.put(IPSET_ATTR_REVISION, [1])
            $0.put(IPSET_ATTR_FAMILY, [kind == .ports ? UInt8(AF_UNSPEC) : family.number])
            $0.nest(IPSET_ATTR_DATA) {
                if kind == .ports {
                    $0.put(IPSET_ATTR_PORT_FROM, netOrder: UInt16.min)
                    $0.put(IPSET_ATTR_PORT_TO, netOrder: UInt16.max)
                } else {
                    $0.put(IPSET_ATTR_HASHSIZE, netOrder: UInt32(1024))
                    $0.put(IPSET_ATTR_MAXELEM, netOrder: UInt32(IPSet.size))
                }
            }
        }
    }

    /// How many entries fit into the list of a message, which holds less than 64 KiB: one takes at most 84 bytes.
    static let entriesAtOnce = 700

    /// Adds entries to a set, or deletes them. The kernel stops at the first that it refuses.
    ///
    /// - Parameter entries: at most `entriesAtOnce`. Those that are there already, or not there to be deleted, are no
    ///   errors.
    func change(_ command: ipset_cmd, _ entries: ArraySlice<IPSetEntry>, of name: String) -> NetlinkBatch {
        request(command, name) {
            // The kernel writes the number of the entry that it refuses into this place.
            $0.put(IPSET_ATTR_LINENO, hostEndian: UInt32(0))
            $0.nest(IPSET_ATTR_ADT) { list in
                for (line, entry) in entries.enumerated() {
                    list.nest(IPSET_ATTR_DATA) {
                        $0.put(entry)
                        $0.put(IPSET_ATTR_LINENO, hostEndian: UInt32(truncatingIfNeeded: line + 1))
                    }
                }
            }
        }
    }

    /// Which entry of a `change` was refused, counted from 0; nil where it was not a single one.
    static func refusedEntry(_ error: NetlinkError) -> Int? {
        guard let echo = error.echo else { return nil }
        let attributes = NetlinkAttributes(
            echo.dropFirst(NetlinkLayout.messageHeader + NetlinkLayout.netfilterHeader))
        guard let line = attributes[IPSET_ATTR_LINENO]?.payload.hostEndian(UInt32.self), line > 0 else { return nil }
        return Int(line) - 1
    }

    func flush(_ name: String) -> NetlinkBatch { request(IPSET_CMD_FLUSH, name) }

    func destroy(_ name: String) -> NetlinkBatch { request(IPSET_CMD_DESTROY, name) }

    func swap(_ name: String, with other: String) -> NetlinkBatch {
        request(IPSET_CMD_SWAP, name) { $0.put(IPSET_ATTR_SETNAME2, string: other) }
    }

    /// All sets, without their entries.
    func listHeaders() -> NetlinkBatch {
        request(IPSET_CMD_LIST) { $0.put(IPSET_ATTR_FLAGS, netOrder: IPSET_FLAG_LIST_HEADER.rawValue) }
    }

    func list(_ name: String) -> NetlinkBatch { request(IPSET_CMD_LIST, name) }

    /// - Parameter name: without one, what is flushed or destroyed is every set there is.
    private func request(
        _ command: ipset_cmd, _ name: String, _ attributes: (inout NetlinkWriter) -> Void = { _ in }
    ) -> NetlinkBatch {
        request(command) {
            $0.put(IPSET_ATTR_SETNAME, string: name)
            attributes(&$0)
        }
    }

    private func request(
        _ command: ipset_cmd, _ attributes: (inout NetlinkWriter) -> Void = { _ in }
    ) -> NetlinkBatch {
        var batch = NetlinkBatch()
        batch.append(subsystem: NFNL_SUBSYS_IPSET, message: Int(command.rawValue), family: UInt8(AF_INET)) {
            $0.put(IPSET_ATTR_PROTOCOL, [version])
            attributes(&$0)
        }
        return batch
    }
}

extension NetlinkWriter {
    fileprivate mutating func put(_ entry: IPSetEntry) {
        switch entry {
        case .address(let address): put(IPSET_ATTR_IP, address)
        case .addressAndPort(let key): put(key)
        case .pair(let key, let other):
            put(key)
            put(IPSET_ATTR_IP2, other)
        case .range(let key, let range):
            put(key)
            put(IPSET_ATTR_IP2, range.base)
            put(IPSET_ATTR_CIDR2, [UInt8(truncatingIfNeeded: range.prefixLength)])
        case .port(let port): put(IPSET_ATTR_PORT, netOrder: port)
        }
    }

    private mutating func put(_ key: VirtualServer.Key) {
        put(IPSET_ATTR_IP, key.address)
        put(IPSET_ATTR_PORT, netOrder: key.port)
        put(IPSET_ATTR_PROTO, [key.protocol.number])
    }

    private mutating func put(_ type: Int, _ address: IPAddress) {
        let kind = address.family == .ipv4 ? IPSET_ATTR_IPADDR_IPV4 : IPSET_ATTR_IPADDR_IPV6
        nest(type) { $0.put(kind | Int(NLA_F_NET_BYTEORDER), address.networkBytes) }
    }

    fileprivate mutating func put(_ type: Int, netOrder number: some FixedWidthInteger) {
        put(type | Int(NLA_F_NET_BYTEORDER), bigEndian: number)
    }
}
