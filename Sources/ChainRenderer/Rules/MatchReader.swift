import ProxyCore

/// Options to matches. What cannot be read becomes `RuleMatch.other`.
enum MatchReader {
    /// Reads an option of iptables itself or of a transport protocol.
    static func read(base option: RuleOption, into matches: inout [RuleMatch]) {
        if option.name == "-c" || option.name == "-4" || option.name == "-6" { return }
        guard let match = base(option) else {
            matches.append(.other(RuleOptionGroup(name: "", options: [option])))
            return
        }
        if !match.isAlwaysTrue, !option.isEveryAddress { matches.append(match) }
    }

    /// Reads the options of a module.
    static func read(_ module: RuleOptionGroup, into matches: inout [RuleMatch]) {
        // Modules of transport protocols add nothing to `-p`; their options are read as those of iptables itself.
        if module.options.isEmpty, transportModules.contains(module.name) { return }
        if let read = self.module(module) {
            matches += read
        } else {
            matches.append(.other(module.sorted))
        }
    }

    private static let transportModules: Set<String> = [
        "tcp", "udp", "sctp", "udplite", "dccp", "icmp", "icmp6", "icmpv6", "ipv6-icmp", "multiport",
    ]

    private static func base(_ option: RuleOption) -> RuleMatch? {
        let inverted = RuleMatch.Inverted(option.isInverted)
        if option.name == "--tcp-flags" {
            guard option.values.count == 2, let mask = TCPFlags(option.values[0]), let set = TCPFlags(option.values[1])
            else { return nil }
            return .tcpFlags(mask: mask, set: set, inverted)
        }
        guard option.values.count <= 1 else { return nil }
        let value = option.values.first ?? ""
        switch option.name {
        case "-s": return AddressMask(text: value).map { .source($0, inverted) }
        case "-d": return AddressMask(text: value).map { .destination($0, inverted) }
        case "-i": return value.isEmpty ? nil : .inputInterface(InterfacePattern(value), inverted)
        case "-o": return value.isEmpty ? nil : .outputInterface(InterfacePattern(value), inverted)
        case "-p": return RuleNumbers.transport(value).map { .transport($0, inverted) }
        case "-f": return .fragment(inverted)
        case "--sport", "--sports": return PortSet(text: value).map { .sourcePorts($0, inverted) }
        case "--dport", "--dports": return PortSet(text: value).map { .destinationPorts($0, inverted) }
        case "--ports": return PortSet(text: value).map { .eitherPorts($0, inverted) }
        case "--syn": return .tcpFlags(mask: [.fin, .syn, .rst, .ack], set: .syn, inverted)
        case "--icmp-type": return icmp(value, RuleNumbers.icmpTypes, inverted)
        case "--icmpv6-type": return icmp(value, RuleNumbers.icmpv6Types, inverted)
        default: return nil
        }
    }

    private static func icmp(
        _ text: String, _ names: [String: (UInt8, UInt8?)], _ inverted: RuleMatch.Inverted
    ) -> RuleMatch? {
        if let (type, code) = names[text] { return .icmpType(type, code: code, inverted) }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let type = UInt8(parts.first ?? ""), parts.count <= 2 else { return nil }
        guard parts.count == 2 else { return .icmpType(type, code: nil, inverted) }
        return UInt8(parts[1]).map { .icmpType(type, code: $0, inverted) }
    }

    private static func module(_ module: RuleOptionGroup) -> [RuleMatch]? {
        switch module.name {
        case "conntrack": module.options.isEmpty ? nil : module.each(connection)
        case "state":
            module.each { option in
                guard option.name == "--state", let value = option.onlyValue else { return nil }
                return ConnectionStates(value).map { .connectionState($0, .init(option.isInverted)) }
            }
        case "mark":
            module.each { option in
                guard option.name == "--mark", let value = option.onlyValue else { return nil }
                return MaskedValue(text: value).map { .mark($0, .init(option.isInverted)) }
            }
        case "connmark":
            module.each { option in
                guard option.name == "--mark", let value = option.onlyValue else { return nil }
                return MaskedValue(text: value).map { .connectionMark($0, .init(option.isInverted)) }
            }
        case "nfacct":
            module.each { option in
                guard option.name == "--nfacct-name", let value = option.onlyValue else { return nil }
                return .accounting(value)
            }
        case "set":
            module.each { option in
                guard option.name == "--match-set", option.values.count == 2 else { return nil }
                let directions = option.values[1].split(separator: ",").map(String.init)
                return .set(option.values[0], directions: directions, .init(option.isInverted))
            }
        case "ipvs":
            module.each { option in
                VirtualServerCondition(option).map { .virtualServer($0, .init(option.isInverted)) }
            }
        case "addrtype": AddressTypeMatch(module.options).map { [.addressType($0)] }
        case "recent": RecentMatch(module.options).map { [.recent($0)] }
        case "limit": LimitMatch(module.options).map { [.limit($0)] }
        case "statistic": statistic(module.options).map { [$0] }
        default: nil
        }
    }

    private static func connection(_ option: RuleOption) -> RuleMatch? {
        guard let value = option.onlyValue else { return nil }
        let inverted = RuleMatch.Inverted(option.isInverted)
        switch option.name {
        case "--ctstate": return ConnectionStates(value).map { .connectionState($0, inverted) }
        case "--ctorigsrc": return AddressMask(text: value).map { .originalSource($0, inverted) }
        case "--ctorigdst": return AddressMask(text: value).map { .originalDestination($0, inverted) }
        case "--ctreplsrc": return AddressMask(text: value).map { .replySource($0, inverted) }
        case "--ctrepldst": return AddressMask(text: value).map { .replyDestination($0, inverted) }
        case "--ctorigdstport": return PortSet(text: value).map { .originalDestinationPorts($0, inverted) }
        case "--ctproto": return RuleNumbers.transport(value).map { .connectionTransport($0, inverted) }
        default: return nil
        }
    }

    private static func statistic(_ options: [RuleOption]) -> RuleMatch? {
        var mode = ""
        var chance: UInt32?
        var every: UInt32?
        var packet: UInt32 = 0
        var isInverted = false
        for option in options {
            guard let value = option.onlyValue else { return nil }
            isInverted = isInverted || option.isInverted
            switch option.name {
            case "--mode": mode = value
            case "--probability": chance = RuleNumbers.chance(value)
            case "--every": every = UInt32(value)
            case "--packet":
                guard let number = UInt32(value) else { return nil }
                packet = number
            default: return nil
            }
        }
        if mode == "random", let chance, every == nil { return .random(chance, .init(isInverted)) }
        if mode == "nth", let every, chance == nil { return .nth(every: every, packet: packet, .init(isInverted)) }
        return nil
    }
}

extension RuleMatch {
    /// True for a condition that every packet meets: `-p all`, `-i +`.
    fileprivate var isAlwaysTrue: Bool {
        switch self {
        case .inputInterface(let pattern, .no), .outputInterface(let pattern, .no):
            pattern.isPrefix && pattern.name.isEmpty
        case .transport(0, .no): true
        default: false
        }
    }
}

extension RuleOption {
    /// The value of an option that has exactly one.
    var onlyValue: String? { values.count == 1 ? values[0] : nil }

    /// True for `-s` and `-d` of every address of a family. `::ffff:0:0/96`, which is kept as every IPv4 address is,
    /// is a part of IPv6 and meant as such.
    fileprivate var isEveryAddress: Bool {
        guard name == "-s" || name == "-d", !isInverted, let value = onlyValue, let slash = value.lastIndex(of: "/"),
            let range = AddressMask(text: value)
        else { return false }
        return value[..<slash].contains(":")
            ? range.mask.high == 0 && range.mask.low == 0 : range.mask.low == .max << 32
    }
}

extension RuleOptionGroup {
    var sorted: RuleOptionGroup {
        RuleOptionGroup(name: name, options: options.sorted { $0.name < $1.name })
    }

    /// A match for each option; nil if one cannot be read, or if there is none.
    fileprivate func each(_ read: (RuleOption) -> RuleMatch?) -> [RuleMatch]? {
        var matches: [RuleMatch] = []
        for option in options {
            guard let match = read(option) else { return nil }
            matches.append(match)
        }
        return matches.isEmpty ? nil : matches
    }
}
