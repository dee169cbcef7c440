/// Numbers of linux/netfilter/nf_tables.h and its neighbours that a walk asks for.
enum NFTNumbers {
    /// NFT_SET_….
    enum Set {
        static let anonymous: UInt32 = 0x1
        static let interval: UInt32 = 0x4
    }

    /// NFT_SET_ELEM_….
    enum Element {
        static let intervalEnd: UInt32 = 0x1
        static let catchAll: UInt32 = 0x2
    }

    /// NFT_PAYLOAD_….
    enum Base {
        static let network: UInt32 = 1
        static let transport: UInt32 = 2
    }

    /// NFT_META_….
    enum Meta {
        static let mark: UInt32 = 3
        static let inputName: UInt32 = 6
        static let outputName: UInt32 = 7
        static let family: UInt32 = 15
        static let transport: UInt32 = 16
    }

    /// NFT_CT_….
    enum Connection {
        static let state: UInt32 = 0
        static let direction: UInt32 = 1
        static let status: UInt32 = 2
        static let mark: UInt32 = 3
        static let source: UInt32 = 8
        static let destination: UInt32 = 9
        static let transport: UInt32 = 10
        static let destinationPort: UInt32 = 12
        static let sourceIPv4: UInt32 = 19
        static let destinationIPv4: UInt32 = 20
        static let sourceIPv6: UInt32 = 21
        static let destinationIPv6: UInt32 = 22

        /// NF_CT_STATE_BIT(IP_CT_NEW).
        static let stateNew: UInt32 = 8
        /// IPS_SRC_NAT and IPS_DST_NAT (nf_conntrack_common.h).
        static let statusSource: UInt32 = 0x10
        static let statusDestination: UInt32 = 0x20
    }

    /// NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_…, and RTN_… of rtnetlink.h.
    enum Route {
        static let addressType: UInt32 = 3
        static let source: UInt32 = 0x1
        static let destination: UInt32 = 0x2
        static let mark: UInt32 = 0x4
        static let unicast: UInt32 = 1
        static let local: UInt32 = 2
        static let broadcast: UInt32 = 3
        static let multicast: UInt32 = 5
    }

    /// NFT_CMP_….
    enum Compare {
        static let equal: UInt32 = 0
        static let notEqual: UInt32 = 1
        static let less: UInt32 = 2
        static let lessOrEqual: UInt32 = 3
        static let greater: UInt32 = 4
        static let greaterOrEqual: UInt32 = 5
    }

    /// NFT_DYNSET_OP_….
    enum Dynset {
        static let add: UInt32 = 0
        static let update: UInt32 = 1
        static let delete: UInt32 = 2
    }

    /// NFT_NAT_…, and NF_NAT_RANGE_NETMAP of nf_nat.h.
    enum NAT {
        static let source: UInt32 = 0
        static let destination: UInt32 = 1
        static let netmap: UInt32 = 0x40
    }

    /// NFPROTO_….
    enum Family {
        static let ipv4: UInt8 = 2
        static let ipv6: UInt8 = 10
    }

    /// NFT_JUMP_STACK_SIZE.
    static let jumpStack = 16
}
