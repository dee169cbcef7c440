/// Numbers in rules that are of other headers of the kernel than nf_tables.h.
enum KernelNumber {
    /// NF_CT_STATE_BIT(IP_CT_NEW) (linux/netfilter/nf_conntrack_common.h).
    static let newConnection: UInt32 = 8
    /// IPS_SRC_NAT, of the same.
    static let sourceTranslated: UInt32 = 0x10
    /// IPS_DST_NAT, of the same.
    static let destinationTranslated: UInt32 = 0x20

    /// RTN_UNICAST (linux/rtnetlink.h).
    static let unicast: UInt32 = 1
    /// RTN_LOCAL, of the same.
    static let local: UInt32 = 2
    /// RTN_BROADCAST, of the same.
    static let broadcast: UInt32 = 3
    /// RTN_MULTICAST, of the same.
    static let multicast: UInt32 = 5

    /// NF_NAT_RANGE_PROTO_RANDOM_FULLY (linux/netfilter/nf_nat.h).
    static let fullyRandom: UInt32 = 0x10
    /// NF_NAT_RANGE_NETMAP, of the same.
    static let netmap: UInt32 = 0x40
}
