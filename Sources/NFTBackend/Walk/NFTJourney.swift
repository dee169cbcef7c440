import ProxyCore

/// One walk under way: the packets still on their way are handed from hook to hook, the others are in here.
///
/// Chance splits a packet into travellers with a share each. They go through the chains side by side, so that each rule
/// is come to once and the steps read like the rules.
struct NFTJourney {
    /// Bounds of what is followed: far above what any table of services has.
    private enum Limit {
        static let steps = 30_000
        /// Chains from the hook's on (NFT_JUMP_STACK_SIZE, net/netfilter/nf_tables.h): the kernel takes no more either.
        static let depth = 16
        /// Rules looked at, times the parts that chance has split the packet into.
        static let effort = 10_000_000
        /// Parts that chance may split a packet into.
        static let parts = 65_536
    }

    private struct Step {
        let base: Int
        let chain: Int
        let depth: Int
        let rule: Int
        var share: Double
        let service: String?
        let counter: String?
    }

    private struct Ending {
        let branch: PacketFate.Branch
        let step: Int?
    }

    private let table: NFTWalkTable
    private let local: LocalAddresses

    private var steps: [Step] = []
    private var endings: [Ending] = []
    private var notes: [String] = []

    private var base = 0
    private var isNAT = false
    /// The chains from the hook's to the one that is being walked.
    private var path: [Int] = []
    private var effort = 0
    /// Those who have left the base chain, by an accept or by a translation.
    private var passed: [NFTTraveller] = []

    init(table: NFTWalkTable, local: LocalAddresses) {
        self.table = table
        self.local = local
    }

    var fate: PacketFate { PacketFate(endings.map(\.branch)) }

    /// Takes packets through the base chains of a hook and returns those that are still on their way.
    ///
    /// - Parameter nat: false where the nat chains have been asked in another hook already.
    mutating func enter(
        _ point: NFTChain.Hook.Point, _ travellers: [NFTTraveller], nat: Bool = true
    ) -> [NFTTraveller] {
        var travellers = travellers
        for chain in table.baseChains(at: point) {
            isNAT = table.chains[chain].hook?.kind == .nat
            guard !travellers.isEmpty else { break }
            guard isNAT else {
                travellers = enter(base: chain, travellers)
                continue
            }
            guard nat else { continue }
            // Once a packet is translated, the further nat chains of the hook are left out.
            let isSource = point == .postrouting || point == .input
            let asked = travellers.filter { isSource ? $0.seenAs == .unchanged : !$0.isTranslated }
            let others = travellers.filter { isSource ? $0.seenAs != .unchanged : $0.isTranslated }
            travellers = others + enter(base: chain, asked)
        }
        return travellers
    }

    private mutating func enter(base chain: Int, _ travellers: [NFTTraveller]) -> [NFTTraveller] {
        base = chain
        passed = []
        let rest = traverse(chain, travellers, service: nil)
        return passed + rest
    }

    /// Packets that nothing more happens to.
    mutating func finish(_ travellers: [NFTTraveller]) {
        for traveller in travellers {
            // A destination that rules wrote without a translation is where the packet goes all the same.
            let isMoved = traveller.isTranslated || traveller.headerDestination != traveller.original.destination
            let end: PacketFate.End =
                isMoved
                ? .endpoint(traveller.headerDestination, port: traveller.port)
                : traveller.isAccepted ? .accept : .untouched
            let branch = PacketFate.Branch(end, share: traveller.share, source: traveller.visibleSource)
            endings.append(Ending(branch: branch, step: traveller.decision))
        }
    }

    /// The walk as people read it.
    func result() -> RuleWalkResult {
        let steps = steps.map { step in
            let chain = table.chains[step.chain]
            let counter = step.counter.flatMap { table.counter($0) }
            return RuleWalkResult.Step(
                hook: table.chains[step.base].name, table: table.identity.name, chain: chain.name, depth: step.depth,
                rule: NFTRuleSpelling.text(of: chain.rules[step.rule], table: table), packets: counter?.packets,
                bytes: counter?.bytes, share: min(step.share, 1), service: step.service, isOurs: true)
        }
        return RuleWalkResult(
            fate: fate, endings: endings.map { .init(branch: $0.branch, step: $0.step.map { steps[$0] }) },
            steps: steps, notes: notes)
    }
}

// MARK: - Chains

extension NFTJourney {
    /// What became of a packet in a rule that took it.
    private struct Taken {
        let traveller: NFTTraveller
        let end: NFTRuleRun.End
        let service: String?
        let counter: String?
    }

    /// Takes packets through a chain; those that come back are returned.
    private mutating func traverse(
        _ chain: Int, _ travellers: [NFTTraveller], service: String?
    ) -> [NFTTraveller] {
        path.append(chain)
        defer { path.removeLast() }
        let service = table.chains[chain].name.servicePortOfChain ?? service
        var here = travellers
        var returned: [NFTTraveller] = []
        for (index, rule) in table.chains[chain].rules.enumerated() {
            effort += here.count
            guard effort < Limit.effort, steps.count < Limit.steps else {
                say("the walk was given up in \(place), as it went on for too long: no later rule was looked at")
                break
            }
            let count = here.count
            let (taken, others) = look(at: rule, here, service)
            here = others
            if !taken.isEmpty {
                let step = note(taken, rule: index, in: chain, service)
                carryOut(taken, step, stays: &here, returned: &returned)
            }
            if here.isEmpty { break }
            if here.count > count { here = here.merged() }
        }
        return returned + here
    }

    /// Those that a rule takes, and those that it does not.
    private mutating func look(
        at rule: NFTKernelTable.Rule, _ travellers: [NFTTraveller], _ service: String?
    ) -> (taken: [Taken], others: [NFTTraveller]) {
        var taken: [Taken] = []
        var others: [NFTTraveller] = []
        for traveller in travellers {
            let parts = max(1, Limit.parts - taken.count - others.count)
            let surroundings = NFTRuleRun.Surroundings(table: table, local: local, isNAT: isNAT, parts: parts)
            for run in NFTRuleRun.runs(of: rule.expressions, on: traveller, in: surroundings) {
                effort += 1
                switch run.end {
                case .noMatch: others.append(run.traveller)
                case .undecided(let reason):
                    say("\(place): a rule was taken not to match: \(reason)")
                    others.append(run.traveller)
                case let end:
                    let named = run.comments.lazy.compactMap(\.servicePortOfComment).first
                    taken.append(
                        Taken(
                            traveller: run.traveller, end: end ?? .done, service: named ?? service, counter: run.counter
                        ))
                }
            }
        }
        return (taken, others)
    }

    /// - Parameters:
    ///   - stays: those that go on to the next rule.
    ///   - returned: those that leave the chain for the one before.
    private mutating func carryOut(
        _ taken: [Taken], _ step: Int, stays: inout [NFTTraveller], returned: inout [NFTTraveller]
    ) {
        var ways: [NFTVerdict] = []
        var followers: [NFTVerdict: [Taken]] = [:]
        for one in taken {
            let traveller = one.traveller
            switch one.end {
            case .done, .noMatch, .undecided: stays.append(traveller)
            case .sourceTranslated: passed.append(traveller)
            case .translated: passed.append(traveller.with { $0.decision = step })
            case .reject: end(traveller, .reject, step)
            case .verdict(.drop): end(traveller, .drop, step)
            case .verdict(.return): returned.append(traveller)
            case .verdict(.accept):
                passed.append(
                    isNAT
                        ? traveller
                        : traveller.with {
                            $0.isAccepted = true
                            if !$0.isTranslated { $0.decision = step }
                        })
            case .verdict(let way):
                if followers[way] == nil { ways.append(way) }
                followers[way, default: []].append(one)
            }
        }
        for way in ways {
            guard let group = followers[way] else { continue }
            let services = Set(group.map(\.service))
            let service = services.count == 1 ? group[0].service : nil
            switch way {
            case .jump(let name): stays += follow(name, group.map(\.traveller), service)
            case .goto(let name): returned += follow(name, group.map(\.traveller), service)
            case .accept, .drop, .return: break
            }
        }
    }

    private mutating func follow(
        _ name: String, _ travellers: [NFTTraveller], _ service: String?
    ) -> [NFTTraveller] {
        guard let chain = table.chain(name) else {
            say("\(place): there is no chain \(name) to go to: the walk goes on to the next rule")
            return travellers
        }
        guard !path.contains(chain) else {
            say("\(place): the way to \(name) leads in a circle, which the kernel refuses; it is not followed")
            return travellers
        }
        guard path.count < Limit.depth else {
            say(
                "\(place): the way to \(name) leads through too many chains, which the kernel refuses; it is not followed"
            )
            return travellers
        }
        return traverse(chain, travellers.merged(), service: service)
    }

    private mutating func end(_ traveller: NFTTraveller, _ end: PacketFate.End, _ step: Int) {
        endings.append(Ending(branch: .init(end, share: traveller.share), step: step))
    }
}

// MARK: - What there is to tell

extension NFTJourney {
    private var place: String { path.last.map { table.chains[$0].name } ?? table.identity.name }

    private mutating func say(_ sentence: String) {
        if !notes.contains(sentence) { notes.append(sentence) }
    }

    /// Adds a step and returns its place.
    private mutating func note(_ taken: [Taken], rule: Int, in chain: Int, _ service: String?) -> Int {
        let services = Set(taken.map(\.service))
        let counters = Set(taken.map(\.counter))
        steps.append(
            Step(
                base: base, chain: chain, depth: path.count - 1, rule: rule,
                share: taken.reduce(0) { $0 + $1.traveller.share },
                service: services.count == 1 ? taken[0].service : service,
                counter: counters.count == 1 ? taken[0].counter : nil))
        return steps.count - 1
    }
}
