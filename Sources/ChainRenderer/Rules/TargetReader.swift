import ProxyCore

/// A target and its options to what becomes of the packet.
enum TargetReader {
    static func read(_ target: RuleOptions.Target) -> RuleTarget {
        let group = target.group
        if target.isGoto { return .goto(group.name) }
        return known(group) ?? .other(group.sorted)
    }

    /// Nil for a target that is not modelled, or whose options cannot be read.
    private static func known(_ group: RuleOptionGroup) -> RuleTarget? {
        let options = group.options
        switch group.name {
        case "ACCEPT": return options.isEmpty ? .accept : nil
        case "DROP": return options.isEmpty ? .drop : nil
        case "RETURN": return options.isEmpty ? .return : nil
        case "NOTRACK": return options.isEmpty ? .notrack : nil
        case "CT": return options.count == 1 && options[0].name == "--notrack" ? .notrack : nil
        case "LOG", "NFLOG", "ULOG", "AUDIT", "TRACE": return .log(group.sorted)
        case "REJECT": return reject(options)
        case "MARK": return markChange(options).map { .mark($0) }
        case "CONNMARK": return markChange(options).map { .connectionMark($0) }
        case "DNAT": return NATTarget(options, address: "--to-destination").map { .dnat($0) }
        case "SNAT": return NATTarget(options, address: "--to-source").map { .snat($0) }
        case "MASQUERADE": return NATTarget(options, ports: "--to-ports").map { .masquerade($0) }
        case "REDIRECT": return NATTarget(options, ports: "--to-ports").map { .redirect($0) }
        default: return options.isEmpty && !extensions.contains(group.name) ? .jump(group.name) : nil
        }
    }

    /// Targets of iptables-extensions(8) that are not modelled. Every other name without options is a chain's.
    private static let extensions: Set<String> = [
        "CHECKSUM", "CLASSIFY", "CLUSTERIP", "CONNSECMARK", "DNPT", "DSCP", "ECN", "HL", "HMARK", "IDLETIMER", "LED",
        "NETMAP", "NFQUEUE", "QUEUE", "RATEEST", "SECMARK", "SET", "SNPT", "SYNPROXY", "TCPMSS", "TCPOPTSTRIP", "TEE",
        "TOS", "TPROXY", "TTL",
    ]

    private static func reject(_ options: [RuleOption]) -> RuleTarget? {
        guard let option = options.first else { return .reject("port-unreachable") }
        guard options.count == 1, option.name == "--reject-with", var kind = option.onlyValue else { return nil }
        for prefix in ["icmp-", "icmp6-"] where kind.hasPrefix(prefix) { kind.removeFirst(prefix.count) }
        return .reject(rejectAliases[kind] ?? kind)
    }

    /// The short names of libipt_REJECT and libip6t_REJECT.
    private static let rejectAliases = [
        "net-unreach": "net-unreachable", "host-unreach": "host-unreachable", "port-unreach": "port-unreachable",
        "proto-unreach": "proto-unreachable", "net-prohib": "net-prohibited", "host-prohib": "host-prohibited",
        "admin-prohib": "admin-prohibited", "tcp-rst": "tcp-reset", "addr-unreach": "addr-unreachable",
        "adm-prohibited": "admin-prohibited",
    ]

    private static func markChange(_ options: [RuleOption]) -> MaskedValue? {
        guard options.count == 1, let text = options[0].onlyValue, let value = MaskedValue(text: text) else {
            return nil
        }
        switch options[0].name {
        case "--set-xmark": return value
        case "--set-mark": return MaskedValue(value: value.value, mask: value.mask | value.value)
        case "--or-mark": return MaskedValue(value: value.value, mask: value.value)
        case "--xor-mark": return MaskedValue(value: value.value, mask: 0)
        case "--and-mark": return MaskedValue(value: 0, mask: ~value.value)
        default: return nil
        }
    }
}

extension NATTarget {
    fileprivate init?(_ options: [RuleOption], address: String? = nil, ports: String? = nil) {
        var hasDestination = false
        for option in options {
            guard !option.isInverted else { return nil }
            switch option.name {
            case "--random" where option.values.isEmpty: isRandom = true
            case "--random-fully" where option.values.isEmpty: isRandomFully = true
            case "--persistent" where option.values.isEmpty: isPersistent = true
            case address where !hasDestination, ports where !hasDestination:
                guard let value = option.onlyValue, address == nil ? readPorts(value[...]) : readAddresses(value)
                else { return nil }
                hasDestination = true
            default: return nil
            }
        }
        // Without a place to go to the kernel refuses DNAT and SNAT.
        if address != nil, !hasDestination { return nil }
    }

    /// Reads `FIRST`, `FIRST-LAST`, with `:PORT` or `:PORT-PORT`; IPv6 addresses with a port are in brackets.
    private mutating func readAddresses(_ text: String) -> Bool {
        var addressPart = text[...]
        if text.hasPrefix("[") {
            guard let close = text.lastIndex(of: "]") else { return false }
            let rest = text[text.index(after: close)...]
            addressPart = text[text.index(after: text.startIndex)..<close]
            if !rest.isEmpty {
                guard rest.first == ":", readPorts(rest.dropFirst()) else { return false }
            }
        } else if let colon = text.lastIndex(of: ":"), text[..<colon].firstIndex(of: ":") == nil {
            addressPart = text[..<colon]
            guard readPorts(text[text.index(after: colon)...]) else { return false }
        }
        if addressPart.isEmpty { return true }
        let ends = addressPart.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count <= 2, let first = IPAddress(String(ends[0])),
            let last = IPAddress(String(ends[ends.count - 1]))
        else { return false }
        addresses = ClosedAddressRange(first: first, last: last)
        return true
    }

    private mutating func readPorts(_ text: Substring) -> Bool {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count <= 2, let first = UInt16(ends[0]), let last = UInt16(ends[ends.count - 1]), first <= last
        else { return false }
        ports = first...last
        return true
    }
}
