package import ProxyCore

/// What becomes of a packet that a rule matches.
package enum RuleTarget: Hashable, Sendable {
    case accept
    case drop
    case `return`
    /// The kind of answer without the prefix `icmp-` or `icmp6-`: `port-unreachable`, `tcp-reset` and so on.
    case reject(String)
    /// The new mark is `mark & ~mask ^ value` (`--set-xmark value/mask`, and what the shorter forms stand for).
    case mark(MaskedValue)
    /// CONNMARK: the same for the connection's mark.
    case connectionMark(MaskedValue)
    case dnat(NATTarget)
    case snat(NATTarget)
    case masquerade(NATTarget)
    case redirect(NATTarget)
    case notrack
    /// A target that lets the packet go on and changes nothing: LOG, NFLOG.
    case log(RuleOptionGroup)
    /// `-j CHAIN`
    case jump(String)
    /// `-g CHAIN`: a return from there goes to the caller of this chain.
    case goto(String)
    /// A target that is not modelled.
    case other(RuleOptionGroup)

    /// The chain that the packet goes to.
    package var chain: String? {
        switch self {
        case .jump(let chain), .goto(let chain): chain
        default: nil
        }
    }
}

/// Where an address translation leads.
package struct NATTarget: Hashable, Sendable {
    package var addresses: ClosedAddressRange?
    package var ports: ClosedRange<UInt16>?
    /// `--random`
    package var isRandom = false
    /// `--random-fully`
    package var isRandomFully = false
    /// `--persistent`
    package var isPersistent = false

    package init() {}
}

/// Addresses from one to another, both included.
package struct ClosedAddressRange: Hashable, Sendable {
    package var first: IPAddress
    package var last: IPAddress

    package init(first: IPAddress, last: IPAddress) {
        self.first = first
        self.last = last
    }
}
