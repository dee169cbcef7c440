extension RuleMeaning {
    /// Takes apart what follows `-A CHAIN`.
    ///
    /// An option belongs to the module (`-m`) or target (`-j`) named last before it, except those of iptables itself
    /// and of the transport protocols, which are told by their names.
    package init(_ text: ArraySlice<UInt8>) {
        self = RuleMeaning(plain: text) ?? RuleMeaning(full: text)
    }

    /// Reads a rule whatever is in it.
    init(full text: ArraySlice<UInt8>) {
        let options = RuleOptions(RuleWord.split(text))
        var matches: [RuleMatch] = []
        matches.reserveCapacity(6)
        for option in options.base { MatchReader.read(base: option, into: &matches) }
        var comment: String?
        for module in options.modules {
            if module.name == "comment" {
                comment = module.options.first { $0.name == "--comment" }?.values.first
            } else {
                MatchReader.read(module, into: &matches)
            }
        }
        self.init(matches: matches, target: options.target.map(TargetReader.read), comment: comment)
    }
}

/// The options of a rule, each with whom it belongs to.
struct RuleOptions {
    struct Target {
        var group: RuleOptionGroup
        var isGoto: Bool
    }

    /// Options of iptables itself and of transport protocols.
    private(set) var base: [RuleOption] = []
    private(set) var modules: [RuleOptionGroup] = []
    private(set) var target: Target?
    /// Whether options go to the target; else to the last module.
    private var isInTarget = false

    init(_ words: [RuleWord]) {
        var index = 0
        var isInverted = false
        func next() -> String {
            guard index < words.count else { return "" }
            defer { index += 1 }
            return words[index].text
        }
        while index < words.count {
            if words[index].isInversion {
                isInverted = true
                index += 1
                continue
            }
            let name = next()
            defer { isInverted = false }
            switch name {
            case "-m", "--match":
                modules.append(RuleOptionGroup(name: next(), options: []))
                isInTarget = false
            case "-j", "--jump", "-g", "--goto":
                target = Target(group: .init(name: next(), options: []), isGoto: name == "-g" || name == "--goto")
                isInTarget = true
            default:
                var option = RuleOption(isInverted: isInverted, name: Self.shortNames[name] ?? name, values: [])
                if Self.takesText.contains(name), index < words.count { option.values.append(next()) }
                while index < words.count, !words[index].isOption {
                    if words[index].isInversion {
                        // Before a value it is the old spelling of the option's own inversion.
                        guard index + 1 < words.count, !words[index + 1].isOption else { break }
                        option.isInverted.toggle()
                        index += 1
                    } else {
                        option.values.append(next())
                    }
                }
                append(option)
            }
        }
    }

    private mutating func append(_ option: RuleOption) {
        if Self.baseNames.contains(option.name) {
            base.append(option)
        } else if isInTarget {
            target?.group.options.append(option)
        } else if modules.isEmpty {
            base.append(option)
        } else {
            modules[modules.count - 1].options.append(option)
        }
    }

    /// Options whose value may look like an option: texts of any kind.
    private static let takesText: Set<String> = [
        "--comment", "--log-prefix", "--nflog-prefix", "--nfacct-name", "--name", "--string", "--hex-string",
    ]

    private static let shortNames = [
        "--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d", "--in-interface": "-i",
        "--out-interface": "-o", "--protocol": "-p", "--proto": "-p", "--fragment": "-f", "--fragments": "-f",
        "--set-counters": "-c", "--ipv4": "-4", "--ipv6": "-6", "--source-port": "--sport",
        "--destination-port": "--dport", "--source-ports": "--sports", "--destination-ports": "--dports",
    ]

    private static let baseNames: Set<String> = [
        "-s", "-d", "-i", "-o", "-p", "-f", "-c", "-4", "-6", "--sport", "--dport", "--sports", "--dports", "--ports",
        "--tcp-flags", "--syn", "--tcp-option", "--icmp-type", "--icmpv6-type",
    ]
}
