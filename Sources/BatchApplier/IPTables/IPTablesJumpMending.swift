import ProxyCore

/// What is to be done about our jumps in one table, so that each is there once and reached.
///
/// A jump that is missing is put first in its chain. One that is there more than once is reduced to its first place.
/// One behind a foreign rule that takes every connection is moved to the front; behind any other rule it stays, so that
/// there is no contest with programs that put their own jumps first
/// (`docs/decisions/0003-where-our-jumps-stand.md`).
struct IPTablesJumpMending {
    private(set) var missing: [IPTablesJump] = []
    private(set) var moved: [IPTablesJump] = []
    private(set) var reduced: [IPTablesJump] = []
    /// The rules that are taken out, in part to be put in again elsewhere.
    private(set) var removed: [IPTablesInput.RemovedRule] = []
    private(set) var lines: [UInt8] = []

    /// What is put in, for whatever reason.
    var inserted: [IPTablesJump] { missing + moved + reduced }

    /// - Parameters:
    ///   - jumps: of this table, in the order in which they are put in.
    ///   - before: the table as it is.
    init(_ jumps: [IPTablesJump], before: IPTablesState.Table) {
        var fronts: [IPTablesJump] = []
        var places: [(jump: IPTablesJump, index: Int)] = []
        for jump in jumps {
            let chain = before[jump.chain]
            let indexes = chain?.indexes(of: jump) ?? []
            guard let chain, let place = indexes.first else {
                missing.append(jump)
                fronts.append(jump)
                continue
            }
            let isHidden = chain.rules[..<place].contains { $0.takesEveryConnection(in: before) }
            guard isHidden || indexes.count > 1 else { continue }
            removed += indexes.map { .init(chain: jump.chain, index: $0, rule: chain.rules[$0]) }
            if isHidden {
                moved.append(jump)
                fronts.append(jump)
            } else {
                reduced.append(jump)
                places.append((jump, place))
            }
        }
        // By specification and not by number: in nft tables another program may come between, and its rules must
        // never be the ones that go.
        for rule in removed { lines += rule.rule.deletion(from: rule.chain) }
        for (jump, index) in places.sorted(by: { $0.index < $1.index }) {
            let gone = removed.count { $0.chain == jump.chain && $0.index < index }
            let back = places.count { $0.jump.chain == jump.chain && $0.index < index }
            lines += jump.line("-I", at: index - gone + back + 1)
        }
        for jump in fronts { lines += jump.line("-I") }
    }
}

extension IPTablesState.Rule {
    /// True for a rule after which no new connection, or none of one protocol, goes on in a built-in chain.
    ///
    /// A rule with any other condition (an address, a port, an interface, a mark, a set) is about packets that somebody
    /// has picked, and is not counted; nor is one for established connections only, as services are for new ones.
    /// A jump to a foreign chain counts if that chain ends the way of whatever comes there.
    func takesEveryConnection(in table: IPTablesState.Table) -> Bool {
        let clauses = RuleClauses.split(specification)
        guard let target = RuleClauses.targetIndex(clauses), clauses[target].count == 2 else { return false }
        let name = clauses[target][1]
        guard
            clauses[target][0] == "-g" || Self.endingTargets.contains(name)
                || Self.endsEverything(name, in: table, depth: 0)
        else { return false }
        return clauses[..<target].allSatisfy { clause in
            switch clause[0] {
            case "-p", "--comment": true
            case "-m": clause.dropFirst().allSatisfy(Self.harmlessMatches.contains)
            case "--ctstate", "--state": clause.last?.split(separator: ",").contains("NEW") == true
            default: false
            }
        }
    }

    /// Whether nothing that comes to a foreign chain comes back from it.
    private static func endsEverything(_ name: String, in table: IPTablesState.Table, depth: Int) -> Bool {
        guard depth < 16, !name.hasPrefix("KUBE-"), let chain = table[name] else { return false }
        for rule in chain.rules {
            let clauses = RuleClauses.split(rule.specification)
            guard let target = RuleClauses.targetIndex(clauses), clauses[target].count >= 2 else { continue }
            let isPicked = !clauses[..<target].allSatisfy { $0[0] == "--comment" || $0 == ["-m", "comment"] }
            let next = clauses[target][1]
            // A packet that returns has got past whatever comes later.
            if next == "RETURN" { return false }
            if isPicked { continue }
            if clauses[target][0] == "-g" || endingTargets.contains(next) { return true }
            if endsEverything(next, in: table, depth: depth + 1) { return true }
        }
        return false
    }

    /// The targets of iptables-extensions(8) that decide about a packet for the rest of a built-in chain.
    private static let endingTargets: Set = [
        "ACCEPT", "DROP", "REJECT", "RETURN", "QUEUE", "NFQUEUE", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP",
    ]
    /// Matches that pick nothing by being there. Others do, such as `-m socket`.
    private static let harmlessMatches: Set = ["comment", "conntrack", "state", "tcp", "udp", "sctp"]
}
