import ProxyCore

extension String {
    /// True for the name of a chain that kube-proxy makes.
    var isProxyChain: Bool { hasPrefix("KUBE-") }

    /// The first word of a comment that names a service port: `namespace/name` or `namespace/name:port`.
    var servicePortName: String? {
        for word in split(separator: " ") {
            let parts = word.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let names = parts[1].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false) + [parts[0]]
            if names.allSatisfy({ ObjectName.isValid(String($0)) }) { return String(word) }
        }
        return nil
    }
}

extension UInt32 {
    /// What MARK and CONNMARK do to a mark (xt_mark.c).
    mutating func apply(_ change: MaskedValue) { self = self & ~change.mask ^ change.value }
}

extension Traveller {
    func with(_ change: (inout Traveller) -> Void) -> Traveller {
        var copy = self
        change(&copy)
        return copy
    }

    /// - Parameter step: the place of the rule among the steps.
    func accepted(by step: Int) -> Traveller {
        with {
            $0.isAccepted = true
            if !$0.isTranslated { $0.decision = step }
        }
    }

    /// With the destination translated. Of several addresses or ports the first is taken.
    func sent(to address: IPAddress?, _ target: NATTarget, by step: Int) -> Traveller {
        with {
            $0.isTranslated = true
            $0.decision = step
            if let address { $0.destination = address }
            if let port = target.ports?.lowerBound { $0.port = port }
        }
    }

    /// With the source translated.
    func seen(as target: NATTarget) -> Traveller {
        guard let address = target.addresses?.first else { return self }
        return with {
            $0.seenAs = .translated(address)
            $0.source = address
        }
    }
}

extension RuleMatch {
    /// Why a packet does not tell whether the match holds.
    var undecided: String {
        switch self {
        case .inputInterface(let pattern, _):
            "the interface that the packet comes in by is not known (-i \(pattern.name)\(pattern.isPrefix ? "+" : ""))"
        case .outputInterface(let pattern, _):
            "the interface that the packet leaves by is not known (-o \(pattern.name)\(pattern.isPrefix ? "+" : ""))"
        case .sourcePorts, .eitherPorts: "the source port is not known"
        case .set(let name, _, _): "what the set \(name) has is not known"
        case .addressType: "the routes of the node are not known (-m addrtype)"
        case .replyDestination: "the address after masquerade is not known"
        case .other(let group):
            group.name.isEmpty
                ? "the option \(group.options.first?.name ?? "") is not followed"
                : "the match \(group.name) is not followed"
        default: "it depends on more than the packet"
        }
    }
}
