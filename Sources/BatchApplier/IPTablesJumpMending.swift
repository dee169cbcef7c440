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
            let isHidden = chain.rules[..<place].contains(where: \.takesEveryConnection)
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
    var takesEveryConnection: Bool {
        let clauses = RuleClauses.split(specification)
        guard let target = RuleClauses.targetIndex(clauses), clauses[target].count == 2 else { return false }
        guard clauses[target][0] == "-g" || Self.endingTargets.contains(clauses[target][1]) else { return false }
        return clauses[..<target].allSatisfy { clause in
            switch clause[0] {
            case "-p", "--comment": true
            case "-m": clause.dropFirst().allSatisfy(Self.harmlessMatches.contains)
            case "--ctstate", "--state": clause.last?.split(separator: ",").contains("NEW") == true
            default: false
            }
        }
    }

    /// The targets of iptables-extensions(8) that decide about a packet for the rest of a built-in chain.
    private static let endingTargets: Set = [
        "ACCEPT", "DROP", "REJECT", "RETURN", "QUEUE", "NFQUEUE", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP",
    ]
    /// Matches that pick nothing by being there. Others do, such as `-m socket`.
    private static let harmlessMatches: Set = ["comment", "conntrack", "state", "tcp", "udp", "sctp"]
}
