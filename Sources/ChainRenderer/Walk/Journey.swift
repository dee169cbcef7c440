import ProxyCore

/// One walk under way: the packets still on their way are handed from hook to hook, the others are in here.
///
/// Chance splits a packet into travellers with a share each. They go through the chains side by side, so that each rule
/// is come to once and the steps read like the rules.
struct Journey {
    /// Bounds of what is followed: far above what any node has, and low enough that no text keeps a walk busy for long.
    private enum Limit {
        /// Jumps within each other. nf_tables allows 16 (NFT_JUMP_STACK_SIZE), legacy tables as many as they have chains.
        static let depth = 256
        static let steps = 30_000
        /// Rules looked at, times the parts that chance has split the packet into.
        static let effort = 10_000_000
        /// Parts that chance may split a packet into before a rule that does so is passed over.
        static let parts = 4096
    }

    let rules: ParsedRules
    let local: LocalAddresses
    /// Nil in other modes than ipvs.
    let servers: WalkedServers?

    private(set) var steps: [RuleWalkResult.Step] = []
    private var endings: [RuleWalkResult.Ending] = []
    private var notes: [String] = []

    private var hook = ""
    private var table = ""
    /// The chains from the hook's to the one that is being walked, and the service that led there.
    private var path: [(chain: String, service: String?)] = []
    private var effort = 0
    /// Those who have left the table, by ACCEPT or by a translation.
    private var passed: [Traveller] = []

    init(rules: ParsedRules, local: LocalAddresses, servers: WalkedServers?) {
        self.rules = rules
        self.local = local
        self.servers = servers
    }

    var result: RuleWalkResult {
        RuleWalkResult(fate: PacketFate(endings.map(\.branch)), endings: endings, steps: steps, notes: notes)
    }

    /// Takes packets through the tables of a hook, in this order, and returns those that are still on their way.
    mutating func enter(_ hook: String, _ tables: [String], _ travellers: [Traveller]) -> [Traveller] {
        var travellers = travellers
        for table in tables { travellers = enter(chain: hook, of: table, travellers) }
        return travellers
    }

    /// Takes packets through a chain with no chain before it.
    mutating func enter(chain: String, of table: String, _ travellers: [Traveller]) -> [Traveller] {
        guard !travellers.isEmpty, let parsed = rules.chain(chain, of: table) else { return travellers }
        hook = chain
        self.table = table
        // Connections that are not tracked are never translated.
        passed = table == "nat" ? travellers.filter { !$0.isTracked } : []
        let rest = traverse(chain, parsed, table == "nat" ? travellers.filter(\.isTracked) : travellers, service: nil)
        if parsed.policy == "DROP", !rest.isEmpty {
            path = [(chain, nil)]
            let step = note(rest, rule: nil, service: nil)
            path = []
            for traveller in rest { end(traveller, .drop, step) }
        } else {
            passed += rest
        }
        return passed
    }

    /// Packets that nothing more happens to.
    mutating func finish(_ travellers: [Traveller]) {
        for traveller in travellers {
            let end: PacketFate.End =
                traveller.isTranslated
                ? .endpoint(traveller.destination, port: traveller.port) : traveller.isAccepted ? .accept : .untouched
            endings.append(
                .init(
                    branch: .init(end, share: traveller.share, source: traveller.seenAs),
                    step: traveller.decision.map { steps[$0] }))
        }
    }

    mutating func end(_ traveller: Traveller, _ end: PacketFate.End, _ step: Int) {
        endings.append(.init(branch: .init(end, share: traveller.share), step: steps[step]))
    }
}

// MARK: - Chains

extension Journey {
    /// Takes packets through a chain; those that come back are returned.
    private mutating func traverse(
        _ name: String, _ chain: ParsedRules.ParsedChain, _ travellers: [Traveller], service: String?
    ) -> [Traveller] {
        path.append((name, service))
        defer { path.removeLast() }
        var here = travellers
        var returned: [Traveller] = []
        for rule in chain.rules {
            effort += here.count
            guard effort < Limit.effort, steps.count < Limit.steps else {
                say("the walk was given up in \(place), as it went on for too long: no later rule was looked at")
                break
            }
            let (matched, others) = split(here, by: rule)
            guard !matched.isEmpty else { continue }
            here = others
            let service = name.isProxyChain ? rule.meaning.comment?.servicePortName ?? service : nil
            let entry = servers?.entries(of: rule.meaning.matches, matched[0])
            let step = note(matched, rule: rule.rule, service: service, entry: entry)
            carryOut(rule.meaning.target, on: matched, step: step, service, stays: &here, returned: &returned)
            if here.isEmpty { break }
            if here.count > others.count, !others.isEmpty { here = here.merged() }
        }
        return returned + here
    }

    /// Those that a rule takes, and those that it does not.
    private mutating func split(
        _ travellers: [Traveller], by rule: ParsedRules.ParsedRule
    ) -> (matched: [Traveller], others: [Traveller]) {
        var matched: [Traveller] = []
        var others: [Traveller] = []
        for traveller in travellers {
            switch traveller.meets(rule.meaning.matches, local: local, servers: servers) {
            case .no: others.append(traveller)
            case .yes: matched.append(traveller)
            case .random where travellers.count >= Limit.parts:
                others.append(traveller)
                say("\(place): chance has parted the packet too often; later rules of chance were taken not to match")
            case .random(let probability):
                var (taken, left) = (traveller, traveller)
                taken.share *= probability
                left.share *= 1 - probability
                matched.append(taken)
                others.append(left)
            case .unknown:
                others.append(traveller)
                if let match = traveller.firstUnknown(of: rule.meaning.matches, local: local, servers: servers) {
                    say(
                        "\(place): the rule \"\(rule.rule.description)\" was taken not to match: "
                            + "\(match.undecided)")
                }
            }
        }
        for case .limit in rule.meaning.matches where !matched.isEmpty {
            say("\(place): the limit of the rule \"\(rule.rule.description)\" was taken not to be reached")
        }
        return (matched, others)
    }

    /// - Parameters:
    ///   - stays: those that go on to the next rule.
    ///   - returned: those that leave the chain for the one before.
    private mutating func carryOut(
        _ target: RuleTarget?, on matched: [Traveller], step: Int, _ service: String?, stays: inout [Traveller],
        returned: inout [Traveller]
    ) {
        switch target {
        case nil, .log: stays += matched
        case .accept: passed += matched.map { table == "filter" ? $0.accepted(by: step) : $0 }
        case .drop: for traveller in matched { end(traveller, .drop, step) }
        case .reject: for traveller in matched { end(traveller, .reject, step) }
        case .return: returned += matched
        case .mark(let change): stays += matched.map { $0.with { $0.mark.apply(change) } }
        case .connectionMark(let change): stays += matched.map { $0.with { $0.connectionMark.apply(change) } }
        case .notrack: stays += matched.map { $0.with { $0.isTracked = false } }
        case .dnat(let target):
            if let range = target.addresses, range.first != range.last {
                say(
                    "\(place): of the addresses \(range.first) to \(range.last), which share the packets, the first is told"
                )
            }
            passed += matched.map { $0.sent(to: target.addresses?.first, target, by: step) }
        case .redirect(let target):
            // The packet goes to an address of the interface that it came by, or to loopback if it came by none.
            let family = matched[0].original.family
            let arriving = hook == "OUTPUT" ? nil : local.reachable(family).first
            let address = arriving ?? .loopback(family)
            passed += matched.map { $0.sent(to: address, target, by: step) }
        case .masquerade: passed += matched.map { $0.with { $0.seenAs = .masqueraded } }
        case .snat(let target): passed += matched.map { $0.seen(as: target) }
        case .jump(let chain), .goto(let chain):
            let isGoto = if case .goto = target { true } else { false }
            let back = follow(chain, matched, service)
            if isGoto { returned += back } else { stays += back }
        case .other(let group):
            say("\(place): what the target \(group.name) does is not followed: the walk goes on to the next rule")
            stays += matched
        }
    }

    private mutating func follow(_ chain: String, _ travellers: [Traveller], _ service: String?) -> [Traveller] {
        guard let parsed = rules.chain(chain, of: table) else {
            say("\(place): there is no chain \(chain) to go to: the walk goes on to the next rule")
            return travellers
        }
        guard !path.contains(where: { $0.chain == chain }) else {
            say("\(place): the way to \(chain) leads in a circle, which the kernel refuses; it is not followed")
            return travellers
        }
        guard path.count < Limit.depth else {
            say("\(place): the way to \(chain) leads through too many chains; it is not followed")
            return travellers
        }
        return traverse(chain, parsed, travellers, service: service)
    }
}

// MARK: - What there is to tell

extension Journey {
    private var place: String { "\(table) \(path.last?.chain ?? hook)" }

    mutating func say(_ sentence: String) {
        if !notes.contains(sentence) { notes.append(sentence) }
    }

    /// Adds a step and returns its place.
    private mutating func note(
        _ travellers: [Traveller], rule: Rule?, service: String?, entry: String? = nil
    ) -> Int {
        let chain = path.last?.chain ?? hook
        steps.append(
            .init(
                hook: hook, table: table, chain: chain, depth: path.count - 1, rule: rule?.description,
                packets: rule?.counters?.packets, bytes: rule?.counters?.bytes,
                share: min(travellers.reduce(0) { $0 + $1.share }, 1), service: service, isOurs: chain.isProxyChain,
                entry: entry))
        return steps.count - 1
    }

    /// Adds a step that is no rule's, and returns its place.
    mutating func note(_ step: RuleWalkResult.Step) -> Int {
        steps.append(step)
        return steps.count - 1
    }
}
