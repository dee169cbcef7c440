import CMnl
import SystemPackage

/// The numbers of errors that ipset has beside those of the system (linux/netfilter/ipset/ip_set.h, ip_set_hash.h,
/// ip_set_bitmap.h).
enum IPSetErrno {
    static let unknownType = Errno(IPSET_ERR_FIND_TYPE)
    /// The first of those whose meaning depends on the type: a set of hashes that is full, a port beyond a bitmap.
    static let typeSpecific = Errno(IPSET_ERR_TYPE_SPECIFIC)

    /// Nil where the errno's own text says it.
    static func reason(_ errno: Errno) -> String? {
        switch errno {
        case .noSuchFileOrDirectory: "there is no such set"
        case .fileExists: "there is a set of this name, and it is of another kind"
        case typeSpecific: "the set is full, or the entry lies outside its range"
        case Errno(rawValue: CInt(IPSET_ERR_HASH_ELEM)): "sets do not take an entry that is all zeros"
        case Errno(rawValue: CInt(IPSET_ERR_INVALID_PROTO)): "the set does not take this protocol"
        case Errno(rawValue: CInt(IPSET_ERR_MISSING_PROTO)): "the entry has no protocol"
        case Errno(rawValue: CInt(IPSET_ERR_HASH_RANGE_UNSUPPORTED)): "the set takes no ranges"
        case Errno(rawValue: CInt(IPSET_ERR_HASH_RANGE)): "the entry's range is not one"
        case Errno(IPSET_ERR_PROTOCOL):
            "the set takes no such entry, as of the other address family, or the kernel no such message"
        case unknownType: "the kernel has no sets of this type"
        case Errno(IPSET_ERR_MAX_SETS): "there are as many sets as the kernel takes"
        case Errno(IPSET_ERR_BUSY): "the set is in use by rules or by other sets"
        case Errno(IPSET_ERR_EXIST_SETNAME2): "there is a set of the new name already, or none to swap with"
        case Errno(IPSET_ERR_TYPE_MISMATCH): "the two sets are of different types"
        case Errno(IPSET_ERR_EXIST): "the entry is there already, or is not there to be deleted"
        case Errno(IPSET_ERR_INVALID_CIDR): "the length of the prefix is not one that sets take"
        case Errno(IPSET_ERR_INVALID_NETMASK): "the netmask is not one that sets take"
        case Errno(IPSET_ERR_INVALID_FAMILY): "the set is of the other address family"
        case Errno(IPSET_ERR_TIMEOUT): "the set has no timeouts"
        case Errno(IPSET_ERR_REFERENCED): "the set is referenced by another one"
        case Errno(IPSET_ERR_IPADDR_IPV4): "the entry has no IPv4 address, which the set needs"
        case Errno(IPSET_ERR_IPADDR_IPV6): "the entry has no IPv6 address, which the set needs"
        case let other where other.rawValue >= IPSET_ERR_PRIVATE.rawValue: "ipset says error \(other.rawValue)"
        default: nil
        }
    }
}

extension Errno {
    fileprivate init(_ code: ipset_errno) {
        self.init(rawValue: CInt(truncatingIfNeeded: code.rawValue))
    }
}
