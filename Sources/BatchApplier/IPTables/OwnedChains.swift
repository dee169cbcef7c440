import ProxyCore

/// The chains that are ours by their names: every name that a kube-proxy of any mode and version gives, whoever wrote
/// the chain.
///
/// The kubelet's chains are not among them. It makes KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT and, in older versions,
/// KUBE-MARK-DROP alone; KUBE-FIREWALL with its jumps is the kubelet's as much as kube-proxy's.
enum OwnedChains {
    private static let shared = IPTablesChainNames.shared.union(IPTablesChainNames.onlyIPVS)
    private static let prefixes =
        IPTablesChainNames.servicePrefixes + [IPTablesChainNames.endpointPrefix, IPTablesChainNames.formerPrefix]

    static func contains(_ name: String, in table: IPTablesBatch.TableName) -> Bool {
        switch table {
        case .mangle: name == IPTablesChainNames.canary
        case .filter, .nat:
            shared.contains(name) || name == IPTablesChainNames.canary || prefixes.contains { name.hasPrefix($0) }
        }
    }

    /// True for a rule of a built-in chain as a kube-proxy of any version writes its jumps: with the target of one,
    /// and with no other conditions than a connection state of NEW and a comment of the kind that they carry.
    static func isJump(_ rule: RuleClauses) -> Bool {
        guard let target = rule.target, shared.contains(target), !rule.isGoto else { return false }
        return rule.matches.allSatisfy { clause in
            switch clause {
            case ["-m", "comment"], ["-m", "conntrack"], ["--ctstate", "NEW"]: true
            case _ where clause.count == 2 && clause[0] == "--comment":
                clause[1].hasPrefix("kubernetes ") || clause[1].hasPrefix("kube-proxy ")
            default: false
            }
        }
    }

    /// Whose a chain of ours is; nil for one that iptables mode and ipvs mode both have.
    static func mode(of chain: String, in table: IPTablesBatch.TableName) -> ProxyMode? {
        if IPTablesChainNames.onlyIPVS.contains(chain) { return .ipvs }
        let isOfBoth =
            switch table {
            case .filter: IPTablesChainNames.ofBothModes.filter.contains(chain)
            case .nat: IPTablesChainNames.ofBothModes.nat.contains(chain)
            case .mangle: false
            }
        return isOfBoth ? nil : .iptables
    }

    /// Whose a jump to a chain of both modes is; nil where both write it alike.
    static func mode(ofJump rule: RuleClauses) -> ProxyMode? {
        guard rule.target == "KUBE-PROXY-FIREWALL" else { return nil }
        return rule.matches.contains(["--ctstate", "NEW"]) ? .iptables : .ipvs
    }
}

extension IPTablesState {
    /// The mode whose rules stand in the chains that iptables mode and ipvs mode both have, by what KUBE-SERVICES of
    /// table nat leads to; nil where it leads to neither's chains.
    var servingMode: ProxyMode? {
        let table = IPTablesBatch.TableName.nat
        for rule in self[table.rawValue]?["KUBE-SERVICES"]?.rules.reversed() ?? [] {
            guard let target = rule.target.map({ String(decoding: $0, as: UTF8.self) }),
                OwnedChains.contains(target, in: table), let mode = OwnedChains.mode(of: target, in: table)
            else { continue }
            return mode
        }
        return nil
    }
}
