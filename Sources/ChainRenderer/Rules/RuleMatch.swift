package import ProxyCore

/// One condition of a rule, as in iptables(8) and iptables-extensions(8).
///
/// A condition that every packet meets (`-p all`, `-s 0.0.0.0/0`) is no match. `Inverted` carries the `!` before an
/// option.
package enum RuleMatch: Hashable, Sendable {
    /// `-s`
    case source(AddressMask, Inverted)
    /// `-d`
    case destination(AddressMask, Inverted)
    /// `-i`
    case inputInterface(InterfacePattern, Inverted)
    /// `-o`
    case outputInterface(InterfacePattern, Inverted)
    /// `-p`, as the number in the IP header.
    case transport(UInt8, Inverted)
    /// `-f`
    case fragment(Inverted)
    /// `--sport` and multiport's `--sports`
    case sourcePorts(PortSet, Inverted)
    /// `--dport` and multiport's `--dports`
    case destinationPorts(PortSet, Inverted)
    /// multiport's `--ports`: source or destination.
    case eitherPorts(PortSet, Inverted)
    /// `--tcp-flags MASK COMP`; `--syn` is `FIN,SYN,RST,ACK SYN`.
    case tcpFlags(mask: TCPFlags, set: TCPFlags, Inverted)
    /// `--icmp-type`, `--icmpv6-type`; without a code it is every code.
    case icmpType(UInt8, code: UInt8?, Inverted)
    /// conntrack's `--ctstate` and state's `--state`
    case connectionState(ConnectionStates, Inverted)
    /// conntrack's `--ctorigsrc`
    case originalSource(AddressMask, Inverted)
    /// conntrack's `--ctorigdst`
    case originalDestination(AddressMask, Inverted)
    /// conntrack's `--ctreplsrc`
    case replySource(AddressMask, Inverted)
    /// conntrack's `--ctrepldst`
    case replyDestination(AddressMask, Inverted)
    /// conntrack's `--ctorigdstport`
    case originalDestinationPorts(PortSet, Inverted)
    /// conntrack's `--ctproto`
    case connectionTransport(UInt8, Inverted)
    /// `-m mark --mark`
    case mark(MaskedValue, Inverted)
    /// `-m connmark --mark`
    case connectionMark(MaskedValue, Inverted)
    case addressType(AddressTypeMatch)
    /// statistic's `--mode random`: the chance in units of 2^-31, as the kernel keeps it.
    case random(UInt32, Inverted)
    /// statistic's `--mode nth`
    case nth(every: UInt32, packet: UInt32, Inverted)
    case recent(RecentMatch)
    case limit(LimitMatch)
    /// nfacct counts the packet and holds for every packet that reaches it.
    case accounting(String)
    /// `-m set --match-set NAME src,dst`
    case set(String, directions: [String], Inverted)
    /// `-m ipvs`: the packet is of a connection of IPVS with a virtual server of this kind.
    case virtualServer(VirtualServerCondition, Inverted)
    /// What is not modelled: the module and its options with their values, or a single option of no module. Options
    /// are in the order of their names.
    case other(RuleOptionGroup)

    package enum Inverted: Hashable, Sendable {
        case no
        case yes

        package init(_ isInverted: Bool) { self = isInverted ? .yes : .no }
    }

    /// False for what is kept as it is written: nothing here knows which packets it holds for.
    package var isUnderstood: Bool {
        if case .other = self { return false }
        return true
    }
}

/// An address and the bits of it that count. Bits that do not count are zero.
///
/// IPv4 is in the mapped form of `IPAddress`, with the first 96 bits of the mask set.
package struct AddressMask: Hashable, Sendable {
    package let address: IPAddress
    package let mask: IPAddress

    package init(_ address: IPAddress, mask: IPAddress) {
        self.address = IPAddress(high: address.high & mask.high, low: address.low & mask.low)
        self.mask = mask
    }

    package init(_ cidr: CIDR) {
        let ones = IPAddress(high: .max, low: .max)
        let length = cidr.prefixLength + (cidr.family == .ipv4 ? 96 : 0)
        self.init(cidr.base, mask: length == 0 ? IPAddress(high: 0, low: 0) : ones.masked(to: length))
    }

    package func contains(_ address: IPAddress) -> Bool {
        address.high & mask.high == self.address.high && address.low & mask.low == self.address.low
    }

    /// True if some address is in both.
    package func overlaps(_ other: AddressMask) -> Bool {
        let high = mask.high & other.mask.high
        let low = mask.low & other.mask.low
        return address.high & high == other.address.high & high && address.low & low == other.address.low & low
    }

    /// True if every address of `other` is in this.
    package func covers(_ other: AddressMask) -> Bool {
        mask.high & other.mask.high == mask.high && mask.low & other.mask.low == mask.low && contains(other.address)
    }
}

/// An interface's name; with a `+` at its end, every name that begins so.
package struct InterfacePattern: Hashable, Sendable {
    package let name: String
    package let isPrefix: Bool

    package init(_ text: String) {
        isPrefix = text.hasSuffix("+")
        name = isPrefix ? String(text.dropLast()) : text
    }

    package func matches(_ interface: String) -> Bool { isPrefix ? interface.hasPrefix(name) : interface == name }
}

/// Ports: ranges in ascending order that do not touch.
package struct PortSet: Hashable, Sendable {
    package let ranges: [ClosedRange<UInt16>]

    package init(_ ranges: [ClosedRange<UInt16>]) {
        if ranges.count == 1 {
            self.ranges = ranges
            return
        }
        var merged: [ClosedRange<UInt16>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        self.ranges = merged
    }

    package func contains(_ port: UInt16) -> Bool { ranges.contains { $0.contains(port) } }
    package func overlaps(_ other: PortSet) -> Bool {
        ranges.contains { one in other.ranges.contains(where: one.overlaps) }
    }
}

/// Flags of a TCP header, by their bits there.
package struct TCPFlags: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let fin = TCPFlags(rawValue: 1)
    package static let syn = TCPFlags(rawValue: 2)
    package static let rst = TCPFlags(rawValue: 4)
    package static let psh = TCPFlags(rawValue: 8)
    package static let ack = TCPFlags(rawValue: 16)
    package static let urg = TCPFlags(rawValue: 32)
}

/// States of a connection. The last two are no states but may stand among them.
package struct ConnectionStates: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let invalid = ConnectionStates(rawValue: 1)
    package static let new = ConnectionStates(rawValue: 2)
    package static let established = ConnectionStates(rawValue: 4)
    package static let related = ConnectionStates(rawValue: 8)
    package static let untracked = ConnectionStates(rawValue: 16)
    /// The source has been translated.
    package static let snat = ConnectionStates(rawValue: 32)
    /// The destination has been translated.
    package static let dnat = ConnectionStates(rawValue: 64)
}

/// A number of which only the bits of the mask count. Bits that do not count are zero.
package struct MaskedValue: Hashable, Sendable {
    package let value: UInt32
    package let mask: UInt32

    /// The kernel compares `mark & mask` with the value as it stands (xt_mark.c), so one with bits outside the mask
    /// matches nothing; it is kept.
    package init(value: UInt32, mask: UInt32 = .max) {
        self.value = value
        self.mask = mask
    }

    package func contains(_ mark: UInt32) -> Bool { mark & mask == value }
}

/// `-m addrtype`
package struct AddressTypeMatch: Hashable, Sendable {
    /// `LOCAL`, `UNICAST` and so on.
    package var source: Set<String>?
    package var isSourceInverted = false
    package var destination: Set<String>?
    package var isDestinationInverted = false
    package var limitsToInputInterface = false
    package var limitsToOutputInterface = false
}

/// `-m recent`: a list of addresses that have been seen.
package struct RecentMatch: Hashable, Sendable {
    package enum Action: String, Hashable, Sendable {
        case set, rcheck, update, remove
    }

    package var action: Action
    package var isInverted = false
    package var name = "DEFAULT"
    package var seconds: UInt32?
    package var hitCount: UInt32?
    package var reaps = false
    package var comparesTTL = false
    /// Nil is every bit.
    package var mask: IPAddress?
    /// The list is of destination addresses (`--rdest`).
    package var isOfDestinations = false
}

/// `-m limit`
package struct LimitMatch: Hashable, Sendable {
    package var count: UInt32
    /// The seconds of the unit: 1, 60, 3600 or 86400.
    package var seconds: UInt32
    package var burst: UInt32
}

/// What an option of `-m ipvs` asks of a virtual server. All of a rule must hold, of one module or of several.
package enum VirtualServerCondition: Hashable, Sendable {
    /// `--vaddr`
    case address(AddressMask)
    /// `--vproto`, as the number in the IP header.
    case transport(UInt8)
    /// `--vport`
    case port(UInt16)
}

/// A module or target that is not modelled, with what was written for it.
package struct RuleOptionGroup: Hashable, Sendable {
    /// The name after `-m` or `-j`; empty for an option of iptables itself.
    package var name: String
    package var options: [RuleOption]

    package init(name: String, options: [RuleOption]) {
        self.name = name
        self.options = options
    }
}

/// An option with its values.
package struct RuleOption: Hashable, Sendable {
    package var isInverted: Bool
    /// With its dashes.
    package var name: String
    package var values: [String]

    package init(isInverted: Bool, name: String, values: [String]) {
        self.isInverted = isInverted
        self.name = name
        self.values = values
    }
}
