import ProxyCore

extension VirtualServerCondition {
    /// Nil for what is not modelled: `--ipvs`, `--vdir`, `--vmethod`, `--vportctl`.
    init?(_ option: RuleOption) {
        guard let value = option.onlyValue else { return nil }
        let read: Self? =
            switch option.name {
            case "--vaddr": AddressMask(text: value).map { .address($0) }
            case "--vproto": RuleNumbers.transport(value).map { .transport($0) }
            case "--vport": UInt16(value).map { .port($0) }
            default: nil
            }
        guard let read else { return nil }
        self = read
    }
}

extension AddressTypeMatch {
    init?(_ options: [RuleOption]) {
        self.init()
        for option in options {
            switch option.name {
            case "--src-type", "--dst-type":
                guard let value = option.onlyValue else { return nil }
                let types = Set(value.split(separator: ",").map { $0.uppercased() })
                if option.name == "--src-type" {
                    source = types
                    isSourceInverted = option.isInverted
                } else {
                    destination = types
                    isDestinationInverted = option.isInverted
                }
            case "--limit-iface-in" where option.values.isEmpty: limitsToInputInterface = true
            case "--limit-iface-out" where option.values.isEmpty: limitsToOutputInterface = true
            default: return nil
            }
        }
        if source == nil, destination == nil { return nil }
    }
}

extension RecentMatch {
    init?(_ options: [RuleOption]) {
        var action: Action?
        var rest: [RuleOption] = []
        for option in options {
            if option.values.isEmpty, option.name.hasPrefix("--"),
                let read = Action(rawValue: String(option.name.dropFirst(2)))
            {
                guard action == nil else { return nil }
                action = read
                isInverted = option.isInverted
            } else {
                rest.append(option)
            }
        }
        guard let action else { return nil }
        self.action = action
        for option in rest {
            guard read(option) else { return nil }
        }
    }

    /// Returns false if the option cannot be read.
    private mutating func read(_ option: RuleOption) -> Bool {
        switch (option.name, option.values.first) {
        case ("--name", let value?): name = value
        case ("--seconds", let value?):
            seconds = UInt32(value)
            return seconds != nil
        case ("--hitcount", let value?):
            hitCount = UInt32(value)
            return hitCount != nil
        case ("--mask", let value?):
            guard let address = IPAddress(value) else { return false }
            let isEveryBit = address == IPAddress(ipv4: .max) || address == IPAddress(high: .max, low: .max)
            mask = isEveryBit ? nil : address
        case ("--reap", nil): reaps = true
        case ("--rttl", nil): comparesTTL = true
        case ("--rsource", nil): isOfDestinations = false
        case ("--rdest", nil): isOfDestinations = true
        default: return false
        }
        return true
    }
}

extension LimitMatch {
    /// The default is `--limit 3/hour --limit-burst 5`.
    init?(_ options: [RuleOption]) {
        self.init(count: 3, seconds: 3600, burst: 5)
        for option in options {
            guard let value = option.onlyValue, !option.isInverted else { return nil }
            switch option.name {
            case "--limit-burst":
                guard let read = UInt32(value) else { return nil }
                burst = read
            case "--limit":
                let parts = value.split(separator: "/", omittingEmptySubsequences: false)
                guard let read = UInt32(parts[0]), parts.count <= 2 else { return nil }
                count = read
                let unit = parts.count == 2 ? parts[1].lowercased() : "second"
                guard !unit.isEmpty,
                    let known = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)]
                        .first(where: { $0.0.hasPrefix(unit) || unit == $0.0.prefix(3) })
                else { return nil }
                seconds = UInt32(known.1)
            default: return nil
            }
        }
    }
}
