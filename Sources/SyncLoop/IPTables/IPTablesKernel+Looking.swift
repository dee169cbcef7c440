import BatchApplier
import ProxyCore

/// What tells at little cost whether somebody else has changed the tables of a family.
protocol ForeignChangeWatch: Sendable {
    func generation() async throws(NetlinkError) -> UInt32
    func look(for expected: NFTablesExpectation) async throws(NetlinkError) -> NFTablesSnapshot
    func missingChains(
        of names: Set<String>, in table: IPTablesBatch.TableName, _ family: IPFamily
    ) async throws(NetlinkError) -> Set<String>
}

extension NFTablesWatch: ForeignChangeWatch {}

/// What is known of the tables between two looks at them.
struct KnownTables: Sendable {
    /// What the batches since the last full one have put there.
    var expectation: NFTablesExpectation
    /// What was seen last.
    var snapshot: NFTablesSnapshot?
    /// Listing all chains costs time in proportion to the cluster: not before this.
    var nextSearch = ContinuousClock.now

    init(family: IPFamily) {
        expectation = NFTablesExpectation(family: family)
    }
}

// In the nft variant the kernel tells whether anything has changed in nf_tables, and if so it is looked whether ours is
// still there.
extension IPTablesKernel {
    nonisolated var lookPeriod: Duration? { watch == nil ? nil : .milliseconds(500) }

    func look() async throws(NetlinkError) -> LookOutcome {
        guard let watch, !isCommitting else { return LookOutcome() }
        let commits = commitCount
        guard try await watch.generation() != known.snapshot?.generation else { return LookOutcome() }
        let seen = try await watch.look(for: known.expectation)
        // What a commit of ours has done meanwhile is not what was expected.
        guard commits == commitCount, !isCommitting else { return LookOutcome() }
        var outcome = LookOutcome()
        var losses = seen.losses(of: known.expectation)
        if losses.isEmpty, let before = known.snapshot {
            losses = try await lostServiceChains(watch, seen, since: before)
            guard commits == commitCount, !isCommitting else { return LookOutcome() }
            // Rules that were put in or taken out are for the check to judge.
            outcome.needsCheck = !seen.changedChains(since: before).isEmpty
        }
        known.snapshot = seen
        if losses.contains(where: \.leavesNothing) { isBare = true }
        outcome.damage = losses.map { Damage(kind: $0.kind, sentence: "gone: \($0)") }
        return outcome
    }

    /// Chains of services that are gone, where chains were added to a table or taken from it.
    private func lostServiceChains(
        _ watch: any ForeignChangeWatch, _ seen: NFTablesSnapshot, since before: NFTablesSnapshot
    ) async throws(NetlinkError) -> [NFTablesLoss] {
        guard seen.tablesToSearch(since: before).contains(.nat), known.nextSearch <= .now else { return [] }
        let start = ContinuousClock.now
        let missing = try await watch.missingChains(of: await serviceChains(), in: .nat, family)
        known.nextSearch = .now + (ContinuousClock.now - start) * SyncSchedule.checkShare
        return missing.sorted().map { .chain(.init(table: .nat, name: $0)) }
    }

    /// After a commit of ours: how the tables are now is how they should be, but for what is missing.
    func rememberTables() async {
        guard let watch else { return }
        known.snapshot = try? await watch.look(for: known.expectation)
        guard let losses = known.snapshot?.losses(of: known.expectation), !losses.isEmpty else { return }
        // The next look names them: this one is forgotten, so that it differs.
        known.snapshot = nil
    }

    nonisolated func nextForeignWriter(within time: Duration) async -> NFTablesWriter? {
        try? await NFTablesWriter.first(
            toChange: family, within: time, except: { _ in OwnProcesses.wereRunning(within: Self.ownEcho) })
    }

    /// How long after a program of ours has ended a notification may still be about what it wrote.
    private static let ownEcho = Duration.milliseconds(200)
}

extension NFTablesLoss {
    fileprivate var kind: String {
        switch self {
        case .table: "table"
        case .chain: "chain"
        case .rules: "rules"
        case .jump: "jump"
        }
    }

    /// True where no service is reachable any more.
    fileprivate var leavesNothing: Bool {
        switch self {
        case .table(.nat): true
        case .chain(let chain), .rules(let chain): chain.table == .nat && chain.name == "KUBE-SERVICES"
        case .table, .jump: false
        }
    }
}
