import CMnl
import Glibc
import ProxyCore

/// The messages of ctnetlink that a cleaning is made of.
enum ConntrackRequests {
    /// Which fields of `CTA_TUPLE_ORIG` a dump is filtered by, in `CTA_FILTER_ORIG_FLAGS`. The kernel has had this
    /// since 5.8 and its numbers are in no header of its: net/netfilter/nf_internals.h, `CTA_FILTER_F_…`.
    private enum FilterFlag {
        static let destinationAddress: UInt32 = 1 << 1
        static let protocolNumber: UInt32 = 1 << 3
        static let destinationPort: UInt32 = 1 << 5
    }

    /// Asks for every entry of a family.
    static func everything(of family: IPFamily) -> NetlinkBatch {
        var batch = NetlinkBatch()
        batch.append(
            subsystem: NFNL_SUBSYS_CTNETLINK, message: Int(IPCTNL_MSG_CT_GET.rawValue), family: family.number)
        return batch
    }

    /// Asks for UDP entries of a family; an older kernel sends those of every protocol and destination.
    ///
    /// - Parameter selector: the entries' original destination; nil for every one.
    static func udp(of family: IPFamily, to selector: FlowQuery.Selector?) -> NetlinkBatch {
        var batch = NetlinkBatch()
        batch.append(
            subsystem: NFNL_SUBSYS_CTNETLINK, message: Int(IPCTNL_MSG_CT_GET.rawValue), family: family.number
        ) { writer in
            var flags = FilterFlag.protocolNumber
            writer.nest(Int(CTA_TUPLE_ORIG.rawValue)) { tuple in
                if let address = selector?.address {
                    flags |= FilterFlag.destinationAddress
                    let type = family == .ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST
                    tuple.nest(Int(CTA_TUPLE_IP.rawValue)) { $0.put(Int(type.rawValue), address.networkBytes) }
                }
                tuple.nest(Int(CTA_TUPLE_PROTO.rawValue)) {
                    $0.put(Int(CTA_PROTO_NUM.rawValue), [UInt8(IPPROTO_UDP)])
                    guard let port = selector?.port else { return }
                    flags |= FilterFlag.destinationPort
                    $0.put(Int(CTA_PROTO_DST_PORT.rawValue), bigEndian: port)
                }
            }
            writer.nest(Int(CTA_FILTER.rawValue)) {
                $0.put(Int(CTA_FILTER_ORIG_FLAGS.rawValue), hostEndian: flags)
            }
        }
        return batch
    }

    /// Asks for the deletion of one entry.
    static func append(deletionOf entry: ConntrackEntry, _ family: IPFamily, to batch: inout NetlinkBatch) {
        batch.append(
            subsystem: NFNL_SUBSYS_CTNETLINK, message: Int(IPCTNL_MSG_CT_DELETE.rawValue), family: family.number
        ) {
            // Without a tuple the kernel would delete every entry of the family.
            $0.put(Int(CTA_TUPLE_ORIG.rawValue) | Int(NLA_F_NESTED), entry.originalTuple)
            if let id = entry.id { $0.put(Int(CTA_ID.rawValue), id) }
        }
    }
}

extension IPFamily {
    /// The family as the kernel numbers it.
    var number: UInt8 { UInt8(self == .ipv4 ? AF_INET : AF_INET6) }
}
