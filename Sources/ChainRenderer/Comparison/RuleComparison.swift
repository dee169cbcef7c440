import ProxyCore

/// Compares the rules of ours in two rule sets by meaning.
///
/// Compared are the chains with names that kube-proxy uses and the jumps to them from built-in chains, in the tables
/// filter and nat. All else is other programs'. Comments, counters and accounting never differ, and the order of rules
/// only where a packet could tell.
public struct RuleComparison {
    let wanted: RuleSet
    let found: RuleSet
    /// Whether KUBE-FIREWALL and the jumps to it are left out where they are not wanted, and the jumps may stand at any
    /// place among ours: they are the kubelet's too.
    let leavesGuardToKubelet: Bool
    /// Nil where the rule sets are whole.
    var leftOut: LeftOutChains?

    public init(wanted: RuleSet, found: RuleSet, leavesGuardToKubelet: Bool) {
        self.wanted = wanted
        self.found = found
        self.leavesGuardToKubelet = leavesGuardToKubelet
    }

    public func differences() -> RuleDifferences {
        var findings: [Finding] = []
        var lost: [String] = []
        var present = false
        var wantedCount = 0
        for name in ["filter", "nat"] {
            let pair = TablePair(
                wanted: wanted[name] ?? .init(name: name), found: found[name] ?? .init(name: name),
                leavesGuardToKubelet: leavesGuardToKubelet, leftOut: leftOut)
            let count = pair.wantedCount
            let foundCount = pair.foundCount
            wantedCount += count
            present = present || foundCount > 0
            if count > 0, foundCount == 0 {
                lost.append(name)
                findings.append(
                    Finding(kind: .missing, table: name, detail: "nothing of \(count) rules of ours is there"))
            } else if count == 0, foundCount > 0 {
                findings.append(
                    Finding(kind: .foreign, table: name, detail: "\(foundCount) rules in chains of ours, none wanted"))
            } else {
                findings += pair.findings()
            }
        }
        if lost.count > 1, !present {
            findings = [
                Finding(
                    kind: .missing,
                    detail:
                        "nothing of \(wantedCount) rules of ours is there, in none of the tables \(lost.joined(separator: ", "))"
                )
            ]
        }
        return RuleDifferences(findings: merged(findings), wantedRuleCount: wantedCount)
    }

    /// Makes one finding of those of a service of which nothing is there, or of which nothing is wanted.
    private func merged(_ findings: [Finding]) -> [Finding] {
        guard !findings.isEmpty else { return [] }
        let names = ServiceNames(wanted: wanted, found: found, leftOut: leftOut)
        let named = findings.map { finding in
            var finding = finding
            finding.service = names.service(of: finding)
            return finding
        }
        let byService = Dictionary(grouping: named.filter { $0.service != nil }, by: { $0.service ?? "" })
        var whole: [String: Finding] = [:]
        for (service, group) in byService where group.count > 1 {
            let isMissing = group.allSatisfy { $0.kind == .missing }
            guard isMissing || group.allSatisfy({ $0.kind == .foreign }) else { continue }
            // The other side has nothing left of the service.
            guard !(isMissing ? names.isFound(service) : names.isWanted(service)) else { continue }
            let tables = Set(group.compactMap(\.table))
            whole[service] = Finding(
                kind: group[0].kind, service: service, table: tables.count == 1 ? tables.first : nil,
                detail: isMissing ? "nothing of the service port is there" : "the service port is not wanted",
                wanted: isMissing ? Array(group.flatMap(\.wanted).prefix(6)) : [],
                found: isMissing ? [] : Array(group.flatMap(\.found).prefix(6)))
        }
        var said: Set<String> = []
        return named.compactMap { finding in
            guard let service = finding.service, let one = whole[service] else { return finding }
            return said.insert(service).inserted ? one : nil
        }
    }
}
