public import ProxyCore

/// A rule: its statements are carried out one by one until one does not match or gives a verdict.
public struct NFTRule: Hashable, Sendable {
    public var statements: [NFTStatement]
    public var comment: String?

    public init(_ statements: [NFTStatement], comment: String? = nil) {
        self.statements = statements
        self.comment = comment
    }

    public init(_ statements: NFTStatement..., comment: String? = nil) {
        self.init(statements, comment: comment)
    }
}

/// What becomes of a packet (nft(8), VERDICT STATEMENT).
public enum NFTVerdict: Hashable, Sendable {
    case accept
    case drop
    /// Goes on after the rule that jumped here.
    case `return`
    case jump(String)
    case goto(String)
}

/// One step of a rule: those that the layouts need, and no others.
public enum NFTStatement: Hashable, Sendable {
    // Matches: the rule ends where they fail.

    /// `ip saddr 10.0.0.0/8`, with `isNot` `ip saddr != 10.0.0.0/8`.
    case matchAddress(NFTField, CIDR, isNot: Bool = false)
    /// `ip daddr { 10.0.0.0/8, … , 10.9.9.9, … }`: a set without a name, of ranges, then single addresses.
    case matchAddresses(NFTField, [CIDR], and: [IPAddress] = [], isNot: Bool = false)
    /// `ip daddr . meta l4proto @name`.
    case matchSet([NFTField], set: String)
    /// `meta l4proto tcp`.
    case matchProtocol(TransportProtocol)
    /// `iifname "cbr0"`; a name that ends in `*` matches all that begin as it does.
    case matchInterface(String, isNot: Bool = false)
    /// `fib saddr type local`, `fib daddr type local`.
    case matchLocal(NFTField)
    /// `ct state new`.
    case matchNewConnection
    /// `ct status dnat`.
    case matchTranslated
    /// `mark and BITS != 0`.
    case matchMark(UInt32)

    // Steps that change something and go on.

    /// `mark set mark or BITS`.
    case setMark(UInt32)
    /// `mark set mark xor BITS`.
    case invertMark(UInt32)
    /// `ip daddr set …`: of one of the two address fields of the packet.
    case setAddress(NFTField, NFTAddressSource)
    /// `update @name { key timeout SECONDSs : datum }`, without the timeout and the datum where there are none.
    case update(set: String, key: [NFTField], datum: NFTField? = nil, timeoutSeconds: Int? = nil)
    /// `delete @name { key : datum }`. The datum is not looked at, but nft wants it for a map.
    case delete(set: String, key: [NFTField], datum: NFTField? = nil)
    /// `counter name key map @name`: counts in the counter that the map names for the key, if it names one.
    case count(key: [NFTField], map: String)

    // Steps that end the rule, and mostly the packet's way.

    /// `key vmap @name`: goes on where the map has no such key.
    case verdictMap([NFTField], map: String)
    /// `numgen random mod N vmap { 0 : goto a, … }`.
    case verdictOfRandom([NFTVerdict])
    case verdict(NFTVerdict)
    /// `reject`.
    case reject
    /// `masquerade fully-random`, or `masquerade`.
    case masquerade(fullyRandom: Bool)
    /// `dnat to 10.0.0.1:80`.
    case translate(to: IPAddress, port: UInt16)
    /// `dnat ip addr . port to key map @name`: goes on where the map has no such key.
    case translateByMap([NFTField], map: String)
    /// `dnat ip addr . port to numgen random mod N map { 0 : 10.0.0.1 . 80, … }`.
    case translateByRandom([NFTEndpoint])
}

/// Where the new value of an address field comes from.
public enum NFTAddressSource: Hashable, Sendable {
    case constant(IPAddress)
    case field(NFTField)
    /// `key map @name`: the rule ends where the map has no such key.
    case map([NFTField], map: String)
}

/// The address and port that a destination is translated to.
public struct NFTEndpoint: Hashable, Sendable {
    public var address: IPAddress
    public var port: UInt16

    public init(_ address: IPAddress, _ port: UInt16) {
        self.address = address
        self.port = port
    }
}
