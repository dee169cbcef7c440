import ChainRenderer
import ProxyCore

extension IPVSKernelState {
    /// What is missing of another state, and what is there beyond it: a sentence each, sorted. Empty if they are equal.
    ///
    /// Rules are compared in the families that are wanted, all chains of them, those of other programs included.
    func differences(from wanted: IPVSKernelState) -> [String] {
        var differences: [String] = []
        for (wanted, found) in [
            (wanted.servers, servers), (wanted.sets, sets), (wanted.addresses, addresses),
        ] {
            differences += wanted.subtracting(found).map { "missing: \($0)" }
            differences += found.subtracting(wanted).map { "not wanted: \($0)" }
        }
        for (family, wanted) in wanted.rules {
            differences += Self.differences(wanted, rules[family] ?? .empty(family)).map { "\(family): \($0)" }
        }
        return differences.sorted()
    }

    private static func differences(_ wanted: RuleSet, _ found: RuleSet) -> [String] {
        Set((wanted.tables + found.tables).map(\.name)).flatMap { table in
            let names = Set([wanted, found].flatMap { $0[table]?.chains.map(\.name) ?? [] })
            return names.flatMap { name in
                differences(name, wanted[table]?[name], found[table]?[name]).map { "\(table): \($0)" }
            }
        }
    }

    private static func differences(
        _ name: String, _ wanted: RuleSet.Chain?, _ found: RuleSet.Chain?
    ) -> [String] {
        if found == nil, wanted?.isBuiltIn == false { return ["missing: chain \(name)"] }
        if wanted == nil, found?.isBuiltIn == false { return ["not wanted: chain \(name)"] }
        let wanted = (wanted?.rules ?? []).map(ReadRule.init)
        let found = (found?.rules ?? []).map(ReadRule.init)
        guard wanted != found else { return [] }
        let missing = wanted.filter { !found.contains($0) }.map { "missing: -A \(name) \($0.text)" }
        let more = found.filter { !wanted.contains($0) }.map { "not wanted: -A \(name) \($0.text)" }
        // Also where a rule is there twice.
        return missing.isEmpty && more.isEmpty ? ["another order or number of rules: \(name)"] : missing + more
    }

    /// A rule, equal to another of the same meaning and comment.
    private struct ReadRule: Equatable {
        let text: String
        let meaning: RuleMeaning

        init(_ rule: Rule) {
            text = rule.description
            meaning = rule.meaning
        }

        static func == (left: Self, right: Self) -> Bool {
            left.meaning == right.meaning && left.meaning.comment == right.meaning.comment
        }
    }
}

extension IPVSKernelState {
    /// Shell commands that damage what the golden cluster `affinity` has: servers, sets, addresses and rules.
    static let damageOfAffinity = """
        ipset del KUBE-CLUSTER-IP 172.30.1.1,tcp:80
        ipset add KUBE-NODE-PORT-UDP 53
        ipvsadm -d -t 172.30.1.1:80 -r 10.180.0.9:8080
        ipvsadm -e -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 0
        ipvsadm -E -t 1.2.3.4:80 -s wrr -p 10800
        ip addr del 1.2.3.4/32 dev kube-ipvs0
        ip addr add 2001:db8::1 dev kube-ipvs0
        iptables-legacy -D KUBE-SOURCE-RANGES-FIREWALL -j DROP
        ip6tables-legacy -D FORWARD 1

        """
}
