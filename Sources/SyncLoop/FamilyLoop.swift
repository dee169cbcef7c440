import BatchApplier
import ChainRenderer
import Foundation
import Logging
import ProxyCore

/// Keeps the kernel's rules of one family as the objects ask for: syncs, checks, mends.
///
/// Three tasks run side by side: one commits, one compares everything with the kernel from time to time, and in the
/// nft variant one looks for foreign changes twice a second. Only the first writes to the kernel.
actor FamilyLoop {
    typealias Instant = ContinuousClock.Instant

    let family: IPFamily
    let model: ClusterModel
    let tables: any KernelTables
    /// Nil in the legacy variant, where only checks notice what others do.
    let watch: (any ForeignChangeWatch)?
    let chainLimit: Int
    let logger: Logger
    /// Called after a commit with the flows that must be looked at because of it.
    let didSync: @Sendable (FlowQuery) -> Void
    nonisolated let wakeUp = Signal()
    nonisolated let checkSignal = Signal()

    var schedule: SyncSchedule
    var status: DaemonStatus.Family
    /// True where the kernel has none of our chains, as far as is known.
    var isKernelBare: Bool
    var isCommitting = false
    /// How many batches have been given to the kernel.
    var commitCount = 0
    var known: KnownTables
    var rivalSearch: Task<Void, Never>?
    /// What the batches have written since the check that is under way began; nil if none is.
    var writtenSinceCheck: WrittenChains?

    init(
        family: IPFamily, model: ClusterModel, tables: any KernelTables,
        watch: (any ForeignChangeWatch)?, variant: IPTablesVariant, periods: SyncSchedule.Periods, isKernelBare: Bool,
        logger: Logger,
        didSync: @escaping @Sendable (FlowQuery) -> Void
    ) {
        self.family = family
        self.model = model
        self.tables = tables
        self.watch = watch
        known = KnownTables(family: family)
        chainLimit = variant.chainLimit
        self.isKernelBare = isKernelBare
        self.logger = logger
        self.didSync = didSync
        schedule = SyncSchedule(periods: periods)
        status = DaemonStatus.Family(family: family)
    }

    /// Runs until the task is cancelled. A commit that has begun is ended first.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.syncForever() }
            group.addTask { await self.checkForever() }
            if let watch { group.addTask { await self.watchForever(watch) } }
        }
        rivalSearch?.cancel()
    }

    private func syncForever() async {
        while !Task.isCancelled {
            let readiness = await model.readiness(of: family)
            if readiness.isReady { schedule.becomeReady(at: .now) }
            if let since = readiness.pendingSince { schedule.objectsChanged(at: since) }
            if schedule.isSyncDue(at: .now) {
                await sync()
            } else {
                let times = [schedule.isReady ? schedule.nextSync : nil, readiness.askAgainAt]
                await wakeUp.wait(until: times.compactMap { $0 }.min())
            }
        }
    }
}

// MARK: - Sync

extension FamilyLoop {
    private func sync() async {
        let start = Instant.now
        let isFull = schedule.needsFullSync
        schedule.syncBegan()
        guard let work = await model.beginSync(family, full: isFull, chainLimit: chainLimit) else { return }
        guard !work.batches.isEmpty else {
            await end(work, succeeded: true)
            return
        }
        isCommitting = true
        let commitment = await commit(work)
        isCommitting = false
        await end(work, succeeded: commitment.isSuccess)
        switch commitment {
        case .success(let restoring): note(work, from: start, restoring: restoring)
        case .failure(let failure): note(failure, of: work)
        }
    }

    private func end(_ work: SyncWork, succeeded: Bool) async {
        let flows = await model.endSync(family, succeeded: succeeded)
        schedule.syncEnded(at: .now, succeeded: succeeded, jitter: .random(in: 0...1))
        if succeeded { checkSignal.raise() }
        if let flows { didSync(flows) }
    }

    /// Returns how long the restore programs ran.
    private func commit(_ work: SyncWork) async -> Result<Duration, IPTablesError> {
        var restoring = Duration.zero
        do throws(IPTablesError) {
            var batches = work.batches
            if work.isFull, isKernelBare, let first = await model.essentialBatch(family) {
                batches.insert(first, at: 0)
            }
            if work.isFull { known.expectation = NFTablesExpectation(family: family) }
            for batch in batches {
                writtenSinceCheck?.note(batch)
                commitCount += 1
                let report = try await tables.apply(batch)
                restoring += report.restoreDuration
                tell(of: report)
                known.expectation.add(batch)
            }
            isKernelBare = false
            await rememberTables()
            return .success(restoring)
        } catch {
            return .failure(error)
        }
    }

    private func tell(of report: IPTablesReport) {
        for warning in report.warnings { logger.warning("\(warning)") }
        for (jumps, finding) in [
            (report.movedJumps, "a jump stood behind a rule that takes every connection; it is first again"),
            (report.reducedJumps, "a jump was there more than once; it is there once again"),
        ] {
            for jump in jumps {
                logger.notice(
                    "\(finding)",
                    metadata: ["table": "\(jump.table.rawValue)", "from": "\(jump.chain)", "to": "\(jump.target)"])
            }
        }
    }

    private func note(_ work: SyncWork, from start: Instant, restoring: Duration) {
        let now = Instant.now
        status.retryAt = nil
        status.lastSync = .init(
            finishedAt: Date(), duration: now - start, kind: work.isFull ? .full : .partial,
            servicePorts: work.isFull ? work.servicePortCount : work.touchedServiceCount,
            batches: work.batches.count)
        var facts: Logger.Metadata = [
            "kind": work.isFull ? "full" : "partial", "services": "\(work.touchedServiceCount)",
            "rendered_ms": "\(work.renderDuration.inMilliseconds)",
            "committed_ms": "\((now - start - work.renderDuration).inMilliseconds)",
            "restored_ms": "\(restoring.inMilliseconds)",
        ]
        if let receivedAt = work.receivedAt { facts["waited_ms"] = "\((start - receivedAt).inMilliseconds)" }
        logger.log(level: work.isFull ? .info : .debug, "rules are committed", metadata: facts)
    }

    private func note(_ failure: IPTablesError, of work: SyncWork) {
        // A change that the kernel's state does not bear is not a reason to wait: everything is written anew.
        let startsOver = !work.isFull && failure.kind == .refused
        if startsOver { schedule.writeEverythingNow(at: .now) }
        status.lastFailure = DaemonStatus.Failure(failure, at: Date())
        status.retryAt = schedule.nextSync.map { Date(of: $0) }
        logger.error(
            "\(failure)",
            metadata: ["retry_in_ms": "\((schedule.nextSync.map { $0 - .now } ?? .zero).milliseconds)"])
    }
}

// MARK: - Check

extension FamilyLoop {
    private func checkForever() async {
        while !Task.isCancelled {
            if schedule.isCheckDue(at: .now) {
                await check()
            } else {
                await checkSignal.wait(until: schedule.nextCheck)
            }
        }
    }

    /// Compares all rules with those committed last, beside the syncs.
    private func check() async {
        let start = Instant.now
        // In the middle of a commit there is no state that the kernel could be compared with.
        guard !isCommitting, let audit = await model.audit(family) else {
            schedule.postponeCheck(at: .now)
            return
        }
        writtenSinceCheck = WrittenChains()
        let report = await compare(audit)
        let written = writtenSinceCheck
        writtenSinceCheck = nil
        guard let report, written?.isEverything == false else {
            schedule.checkSkipped(at: .now, took: .now - start)
            return
        }
        let damage = report.damage
        status.lastCheck = .init(finishedAt: Date(), duration: .now - start, findings: damage.count)
        logger.debug(
            "rules are checked", metadata: ["ms": "\((.now - start).milliseconds)", "findings": "\(damage.count)"])
        schedule.checkEnded(at: .now, took: .now - start, foundDamage: !damage.isEmpty)
        noteEndOfContest()
        if !damage.isEmpty { mend(damage, byCheck: true) }
    }

    private func compare(_ audit: RuleAudit) async -> AuditReport? {
        do {
            // A second or so of work in a large cluster, which no sync waits for.
            let reading = try await tables.save([.filter, .nat], into: AuditReading(audit: audit)) { reading, piece in
                reading.take(piece)
            }
            if let failure = reading.failure { throw failure }
            return try reading.audit.finish(skipping: writtenSinceCheck?.chains ?? [])
        } catch {
            logger.warning("the rules could not be checked: \(error)")
            return nil
        }
    }
}

/// A check that takes in what the kernel has.
private struct AuditReading: Sendable {
    var audit: RuleAudit
    /// Why the text cannot be understood: nothing more of it is looked at.
    var failure: RuleSetError?

    mutating func take(_ piece: [UInt8]) {
        guard failure == nil else { return }
        do throws(RuleSetError) { try audit.append(piece) } catch { failure = error }
    }
}

/// The chains that commits wrote while a check was reading them: what it says of those is not to be believed.
struct WrittenChains: Sendable {
    private(set) var chains: Set<String> = []
    /// True where a full batch was among them.
    private(set) var isEverything = false

    mutating func note(_ batch: IPTablesBatch) {
        if !batch.ownedChainPrefixes.isEmpty { isEverything = true }
        chains.formUnion(batch.chainNames)
    }
}

extension Result {
    fileprivate var isSuccess: Bool { if case .success = self { true } else { false } }
}

extension AuditReport {
    /// What differs, for the count and for the log.
    fileprivate var damage: [(kind: String, sentence: String)] {
        var damage = differences.findings.map { ($0.kind.rawValue, $0.sentence) }
        if uncomparedChainCount > 0 { damage.append(("changed", "\(uncomparedChainCount) chains more")) }
        return damage
    }
}

extension Finding {
    /// `missing in nat KUBE-SERVICES (default/web:http): -A …`
    fileprivate var sentence: String {
        let place = [table, chain].compactMap(\.self).joined(separator: " ")
        var sentence = place.isEmpty ? kind.rawValue : "\(kind.rawValue) in \(place)"
        if let service { sentence += " (\(service))" }
        if let detail { sentence += ": \(detail)" }
        if let rule = found.first ?? wanted.first { sentence += ": \(rule)" }
        return sentence
    }
}
