import ProxyCore

/// Rules by what they ask of the destination, so that those that could share a packet with a rule are found without
/// looking at all.
///
/// kube-proxy's chains hold thousands of rules of one address or one port each, in an order of its own.
struct RuleIndex {
    private var byAddress: [IPAddress: [Int]] = [:]
    private var byPort: [PortSet: [Int]] = [:]
    private var rest: [Int] = []

    init(_ rules: [RuleMeaning]) {
        for (index, rule) in rules.enumerated() {
            if let address = rule.onlyDestination {
                byAddress[address, default: []].append(index)
            } else if let ports = rule.onlyPort {
                byPort[ports, default: []].append(index)
            } else {
                rest.append(index)
            }
        }
    }

    /// The places of the rules that a packet could match beside this one, and of some that it could not.
    func neighbours(of rule: RuleMeaning) -> [Int] {
        var places = rest
        if let address = rule.onlyDestination {
            places += byAddress[address] ?? []
        } else {
            places += byAddress.values.joined()
        }
        if let ports = rule.onlyPort {
            places += byPort[ports] ?? []
        } else {
            places += byPort.values.joined()
        }
        return places
    }
}

extension RuleMeaning {
    /// The one address that packets must go to.
    fileprivate var onlyDestination: IPAddress? {
        for case .destination(let range, .no) in matches where range.mask == IPAddress(high: .max, low: .max) {
            return range.address
        }
        return nil
    }

    /// The one port that packets must go to.
    fileprivate var onlyPort: PortSet? {
        for case .destinationPorts(let ports, .no) in matches
        where ports.ranges.count == 1 && ports.ranges[0].count == 1 {
            return ports
        }
        return nil
    }
}
