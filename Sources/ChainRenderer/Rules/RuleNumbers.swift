import ProxyCore

/// Names and numbers in rules.
enum RuleNumbers {
    /// The number of a protocol (`/etc/protocols`); `all` is 0, which iptables takes for every protocol.
    static func transport(_ text: String) -> UInt8? {
        UInt8(text) ?? transports[text.lowercased()]
    }

    private static let transports: [String: UInt8] = [
        "all": 0, "ip": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "ip-encap": 4, "ipip": 4, "tcp": 6, "udp": 17,
        "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ipsec-esp": 50, "ah": 51, "ipsec-ah": 51, "ipv6-icmp": 58,
        "icmpv6": 58, "icmp6": 58, "ospf": 89, "pim": 103, "ipcomp": 108, "vrrp": 112, "sctp": 132, "mh": 135,
        "ipv6-mh": 135, "mobility-header": 135, "udplite": 136,
    ]

    /// The chance of statistic's random mode as the kernel keeps it: libxt_statistic takes the decimal fraction times
    /// 2^31, rounded to the nearest.
    static func chance(_ text: String) -> UInt32? {
        guard let value = Double(text), value >= 0, value <= 1 else { return nil }
        return UInt32((value * 2_147_483_648).rounded())
    }

    /// Decimal, or hexadecimal after `0x`.
    static func number(_ text: some StringProtocol) -> UInt32? {
        text.hasPrefix("0x") || text.hasPrefix("0X") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
    }

    /// Types and codes of `iptables -p icmp -h`; `any` is type 255 to the kernel and so to iptables-save.
    static let icmpTypes: [String: (UInt8, UInt8?)] = [
        "any": (255, nil), "echo-reply": (0, nil), "pong": (0, nil), "destination-unreachable": (3, nil),
        "network-unreachable": (3, 0), "host-unreachable": (3, 1), "protocol-unreachable": (3, 2),
        "port-unreachable": (3, 3), "fragmentation-needed": (3, 4), "source-quench": (4, nil), "redirect": (5, nil),
        "echo-request": (8, nil), "ping": (8, nil), "router-advertisement": (9, nil),
        "router-solicitation": (10, nil), "time-exceeded": (11, nil), "ttl-exceeded": (11, nil),
        "parameter-problem": (12, nil), "timestamp-request": (13, nil), "timestamp-reply": (14, nil),
    ]

    static let icmpv6Types: [String: (UInt8, UInt8?)] = [
        "destination-unreachable": (1, nil), "no-route": (1, 0), "communication-prohibited": (1, 1),
        "beyond-scope": (1, 2), "address-unreachable": (1, 3), "port-unreachable": (1, 4), "packet-too-big": (2, nil),
        "time-exceeded": (3, nil), "ttl-exceeded": (3, nil), "parameter-problem": (4, nil), "echo-request": (128, nil),
        "ping": (128, nil), "echo-reply": (129, nil), "pong": (129, nil), "router-solicitation": (133, nil),
        "router-advertisement": (134, nil), "neighbour-solicitation": (135, nil),
        "neighbor-solicitation": (135, nil), "neighbour-advertisement": (136, nil),
        "neighbor-advertisement": (136, nil), "redirect": (137, nil),
    ]
}

extension AddressMask {
    /// Reads `ADDRESS`, `ADDRESS/LENGTH` or `ADDRESS/MASK`.
    init?(text: String) {
        var text = text
        let read = text.withUTF8 { AddressMask(bytes: UnsafeRawBufferPointer($0)) }
        guard let read else { return nil }
        self = read
    }

    init?(bytes: UnsafeRawBufferPointer) {
        let slash = bytes.firstIndex(of: UInt8(ascii: "/")) ?? bytes.count
        let head = UnsafeRawBufferPointer(rebasing: bytes[..<slash])
        guard let address = IPAddress(bytes: head) else { return nil }
        let isIPv4 = !head.contains(UInt8(ascii: ":"))
        let ones = IPAddress(high: .max, low: .max)
        guard slash < bytes.count else {
            self.init(address, mask: ones)
            return
        }
        let tail = UnsafeRawBufferPointer(rebasing: bytes[(slash + 1)...])
        if let length = UInt8(String(decoding: tail, as: UTF8.self)) {
            guard length <= (isIPv4 ? 32 : 128) else { return nil }
            let bits = Int(length) + (isIPv4 ? 96 : 0)
            self.init(address, mask: bits == 0 ? IPAddress(high: 0, low: 0) : ones.masked(to: bits))
            return
        }
        guard let mask = IPAddress(bytes: tail), isIPv4 == !tail.contains(UInt8(ascii: ":")) else { return nil }
        self.init(address, mask: isIPv4 ? IPAddress(high: .max, low: mask.low | 0xffff_ffff << 32) : mask)
    }
}

extension PortSet {
    /// Reads ports and ranges (`1:2`, `:2`, `1:`) with commas between; a range of multiport may be negated as a whole
    /// only.
    init?(text: String) {
        if let port = UInt16(text) {
            self.init([port...port])
            return
        }
        var ranges: [ClosedRange<UInt16>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: ":", omittingEmptySubsequences: false)
            guard ends.count <= 2, let first = ends[0].isEmpty && ends.count == 2 ? 0 : Self.port(ends[0]) else {
                return nil
            }
            guard let last = ends.count == 1 ? first : ends[1].isEmpty ? .max : Self.port(ends[1]), first <= last
            else { return nil }
            ranges.append(first...last)
        }
        self.init(ranges)
    }

    private static func port(_ text: Substring) -> UInt16? { UInt16(text) ?? names[String(text)] }

    /// Names of /etc/services that people write; iptables-save prints numbers.
    private static let names: [String: UInt16] = [
        "ftp": 21, "ssh": 22, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68, "http": 80, "ntp": 123,
        "snmp": 161, "bgp": 179, "https": 443,
    ]
}

extension MaskedValue {
    /// Reads `VALUE` or `VALUE/MASK`.
    init?(text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let value = RuleNumbers.number(parts[0]) else { return nil }
        guard parts.count == 2 else {
            self.init(value: value)
            return
        }
        guard let mask = RuleNumbers.number(parts[1]) else { return nil }
        self.init(value: value, mask: mask)
    }
}

extension TCPFlags {
    init?(_ text: String) {
        let names: [String: TCPFlags] = [
            "FIN": .fin, "SYN": .syn, "RST": .rst, "PSH": .psh, "ACK": .ack, "URG": .urg, "NONE": [],
            "ALL": [.fin, .syn, .rst, .psh, .ack, .urg],
        ]
        self = []
        for word in text.split(separator: ",") {
            guard let flag = names[word.uppercased()] else { return nil }
            formUnion(flag)
        }
    }
}

extension ConnectionStates {
    init?(_ text: String) {
        self = []
        for word in text.split(separator: ",") {
            switch word {
            case "INVALID": insert(.invalid)
            case "NEW": insert(.new)
            case "ESTABLISHED": insert(.established)
            case "RELATED": insert(.related)
            case "UNTRACKED": insert(.untracked)
            case "SNAT": insert(.snat)
            case "DNAT": insert(.dnat)
            default: return nil
            }
        }
    }
}
