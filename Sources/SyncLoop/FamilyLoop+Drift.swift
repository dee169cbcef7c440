import BatchApplier
import ChainRenderer
import Foundation
import Logging
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
    var lastError: NetlinkError?

    init(family: IPFamily) {
        expectation = NFTablesExpectation(family: family)
    }
}

// MARK: - Losses, in the nft variant

extension FamilyLoop {
    /// Asks twice a second whether anything in nf_tables has changed, and if so, whether ours is still there.
    func watchForever(_ watch: any ForeignChangeWatch) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.watchPeriod)
            guard status.lastSync != nil, !isCommitting else { continue }
            do throws(NetlinkError) {
                try await look(watch)
                known.lastError = nil
            } catch {
                if known.lastError == nil { logger.warning("foreign changes cannot be noticed: \(error)") }
                known.lastError = error
            }
        }
    }

    private static let watchPeriod = Duration.milliseconds(500)

    private func look(_ watch: any ForeignChangeWatch) async throws(NetlinkError) {
        let commits = commitCount
        guard try await watch.generation() != known.snapshot?.generation else { return }
        let seen = try await watch.look(for: known.expectation)
        // What a commit of ours has done meanwhile is not what was expected.
        guard commits == commitCount, !isCommitting else { return }
        var losses = seen.losses(of: known.expectation)
        if losses.isEmpty, let before = known.snapshot {
            losses = try await lostServiceChains(watch, seen, since: before)
            guard commits == commitCount, !isCommitting else { return }
            // Rules that were put in or taken out are for the check to judge.
            if !seen.changedChains(since: before).isEmpty {
                schedule.hastenCheck(at: .now)
                checkSignal.raise()
            }
        }
        known.snapshot = seen
        guard !losses.isEmpty else { return }
        if losses.contains(where: \.leavesNothing) { isKernelBare = true }
        mend(losses.map { ($0.kind, "gone: \($0)") }, byCheck: false)
    }

    /// Chains of services that are gone, where chains were added to a table or taken from it.
    private func lostServiceChains(
        _ watch: any ForeignChangeWatch, _ seen: NFTablesSnapshot, since before: NFTablesSnapshot
    ) async throws(NetlinkError) -> [NFTablesLoss] {
        guard seen.tablesToSearch(since: before).contains(.nat), known.nextSearch <= .now else { return [] }
        let start = Instant.now
        let missing = try await watch.missingChains(of: await model.chainNames(family), in: .nat, family)
        known.nextSearch = .now + (Instant.now - start) * SyncSchedule.checkShare
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

// MARK: - Mending

extension FamilyLoop {
    /// Counts and tells what differed, and has it mended, unless somebody undoes that again and again.
    func mend(_ damage: [(kind: String, sentence: String)], byCheck: Bool) {
        let wasContested = schedule.contestedSince != nil
        let isMended = schedule.damageFound(at: .now, byCheck: byCheck)
        let differences = Array(damage.prefix(Self.toldDifferences).map(\.sentence))
        if isMended {
            for (kind, _) in damage { status.drift.mended[kind, default: 0] += 1 }
            wakeUp.raise()
        }
        status.drift.last = .init(at: Date(), differences: differences)
        if let since = schedule.contestedSince, !wasContested {
            status.contested = .init(since: Date(of: since))
            logger.error(
                "another program undoes what is mended: from now on only the checks mend",
                metadata: ["differences": "\(differences.joined(separator: "; "))"])
        } else if isMended {
            logger.warning(
                "the rules were changed by another program; mending",
                metadata: [
                    "count": "\(damage.count)", "differences": "\(differences.joined(separator: "; "))",
                    "found": byCheck ? "by check" : "by watch",
                ])
        }
        findRival()
    }

    /// A check has found everything as it should be: what was undone again and again is so no longer.
    func noteEndOfContest() {
        guard status.contested != nil, schedule.contestedSince == nil else { return }
        status.contested = nil
        rivalSearch?.cancel()
        logger.notice("what is mended is no longer undone")
    }

    private static let toldDifferences = 10
    private static let rivalPatience = Duration.seconds(30)

    /// Listens for a while to who changes what is ours, where that is not known yet.
    private func findRival() {
        guard watch != nil, rivalSearch == nil, let contest = status.contested, contest.by == nil else { return }
        rivalSearch = Task { [weak self, family] in
            let writer = try? await NFTablesWriter.first(
                toChange: family, within: Self.rivalPatience,
                except: { _ in OwnProcesses.wereRunning(within: Self.ownEcho) })
            await self?.found(rival: writer)
        }
    }

    /// How long after a program of ours has ended a notification may still be about what it wrote.
    private static let ownEcho = Duration.milliseconds(200)

    private func found(rival: NFTablesWriter?) {
        rivalSearch = nil
        guard let rival, status.contested != nil else { return }
        status.contested?.by = "\(rival.command), process \(rival.pid)"
        logger.error(
            "the other program is found", metadata: ["program": "\(rival.command)", "process": "\(rival.pid)"])
    }
}

// MARK: - Status

extension FamilyLoop {
    func currentStatus() async -> DaemonStatus.Family {
        let readiness = await model.readiness(of: family)
        var status = status
        let since = [readiness.pendingSince, schedule.isReady ? schedule.pendingSince : nil].compactMap { $0 }.min()
        if let since {
            status.pendingChanges = .init(count: max(1, readiness.pendingCount), since: Date(of: since))
        }
        return status
    }
}

extension DaemonStatus.Failure {
    init(_ error: IPTablesError, at date: Date) {
        let aftermath: String
        switch error.aftermath {
        case .unchanged: aftermath = ""
        case .putBack(let tables):
            aftermath = "Put back as they were: \(tables.map(\.rawValue).joined(separator: ", "))."
        case .halfDone(let tables, let reason):
            aftermath =
                "Changed and not put back: \(tables.map(\.rawValue).joined(separator: ", ")), because \(reason)."
        }
        self.init(
            at: date, sentence: String("\(error)".prefix { $0 != "\n" }),
            inputLines: error.inputLines.map { .init(number: $0.number, text: $0.text, isNamed: $0.isNamed) },
            aftermath: aftermath)
    }
}

extension Date {
    /// The time of day of an instant.
    init(of instant: ContinuousClock.Instant) {
        self = Date() + Double((instant - .now) / .milliseconds(1)) / 1000
    }
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int { Int((self / .milliseconds(1)).rounded()) }

    /// Milliseconds, exact to the microsecond.
    var inMilliseconds: Double { (self / .microseconds(1)).rounded() / 1000 }
}
