import BatchApplier
import Foundation
import Logging
import ProxyCore

/// Keeps the kernel's rules of one family as the objects ask for: syncs, checks, mends.
///
/// Three tasks run side by side: one commits, one compares everything with the kernel from time to time, and where the
/// kernel tells cheaply of foreign changes one looks for them. Only the first writes to the kernel.
actor FamilyLoop<Kernel: FamilyKernel> {
    typealias Instant = ContinuousClock.Instant
    typealias Model = ClusterModel<Kernel.Renderer>

    let family: IPFamily
    let model: Model
    let kernel: Kernel
    let logger: Logger
    /// Called after a commit with the flows that must be looked at because of it.
    let didSync: @Sendable (FlowQuery) -> Void
    nonisolated let wakeUp = Signal()
    nonisolated let checkSignal = Signal()

    var schedule: SyncSchedule
    var status: DaemonStatus.Family
    /// True while looks fail: said once.
    var isBlind = false
    var rivalSearch: Task<Void, Never>?
    private var tidying: Task<Void, Never>?

    init(
        family: IPFamily, model: Model, kernel: Kernel, periods: SyncSchedule.Periods, logger: Logger,
        didSync: @escaping @Sendable (FlowQuery) -> Void
    ) {
        self.family = family
        self.model = model
        self.kernel = kernel
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
            if let period = kernel.lookPeriod { group.addTask { await self.lookForever(every: period) } }
        }
        rivalSearch?.cancel()
        tidying?.cancel()
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
        let isEverythingPending = await model.isEverythingPending(family)
        var dependedOnKernel = !(isFull || isEverythingPending)
        do throws(SyncFailure) {
            let finding = try await kernel.finding(everything: !dependedOnKernel)
            dependedOnKernel = dependedOnKernel || finding != nil
            guard let work = await model.beginSync(family, full: isFull, over: finding) else { return }
            guard !work.batches.isEmpty else { return await syncEnded(without: []) }
            let report = try await kernel.commit(work)
            await syncEnded(without: report.refusals)
            note(work, from: start, report.kernelDuration)
        } catch {
            await model.syncFailed(family)
            schedule.syncEnded(at: .now, succeeded: false, jitter: .random(in: 0...1))
            note(error, dependedOnKernel: dependedOnKernel)
        }
    }

    private func syncEnded(without refusals: [Kernel.Renderer.Refusal]) async {
        let flows = await model.syncEnded(family, without: refusals)
        schedule.syncEnded(at: .now, succeeded: true, jitter: .random(in: 0...1))
        checkSignal.raise()
        if let flows { didSync(flows) }
        let left = await model.read(family) { ($0.leftoversEndAfter, $0.refusals, $0.drainingCount) }
        guard let (pause, refusals, drainingCount) = left else { return }
        note(refusals)
        status.drainingEndpoints = drainingCount == 0 ? nil : drainingCount
        if let pause { tidy(after: pause) }
    }

    private func tidy(after pause: Duration) {
        tidying?.cancel()
        tidying = Task { [weak self] in
            try? await Task.sleep(for: pause)
            guard !Task.isCancelled else { return }
            await self?.tidyNow()
        }
    }

    private func tidyNow() {
        schedule.objectsChanged(at: .now)
        wakeUp.raise()
    }

    private func note(_ work: SyncWork<Kernel.Renderer.Batch>, from start: Instant, _ kernelDuration: Duration) {
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
            "kernel_ms": "\(kernelDuration.inMilliseconds)",
        ]
        if let receivedAt = work.receivedAt { facts["waited_ms"] = "\((start - receivedAt).inMilliseconds)" }
        logger.log(level: work.isFull ? .info : .debug, "rules are committed", metadata: facts)
    }

    /// Says once what the kernel does not do though everything around it is in place.
    private func note(_ refusals: [String]) {
        let known = Set(status.refusals ?? [])
        for sentence in refusals where !known.contains(sentence) { logger.error("\(sentence)") }
        if refusals.isEmpty, !known.isEmpty { logger.notice("the kernel has taken what it had refused") }
        status.refusals = refusals.isEmpty ? nil : refusals.sorted()
    }

    private func note(_ failure: SyncFailure, dependedOnKernel: Bool) {
        // A change that the kernel's state does not bear is not a reason to wait: everything is written anew.
        if dependedOnKernel, failure.isRefusal { schedule.writeEverythingNow(at: .now) }
        status.lastFailure = failure.status
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

    private func check() async {
        let start = Instant.now
        guard let audit = await model.audit(family) else {
            schedule.postponeCheck(at: .now)
            return
        }
        switch await outcome(of: audit) {
        case .busy: schedule.postponeCheck(at: .now)
        case .nothingKnown: schedule.checkSkipped(at: .now, took: .now - start)
        case .compared(let damage):
            status.lastCheck = .init(finishedAt: Date(), duration: .now - start, findings: damage.count)
            logger.debug(
                "rules are checked",
                metadata: ["ms": "\((.now - start).milliseconds)", "findings": "\(damage.count)"])
            schedule.checkEnded(at: .now, took: .now - start, foundDamage: !damage.isEmpty)
            noteEndOfContest()
            if !damage.isEmpty { mend(damage, byCheck: true) }
        }
    }

    private func outcome(of audit: Kernel.Renderer.Audit) async -> CheckOutcome {
        do {
            return try await kernel.check(audit)
        } catch {
            // What the end of the daemon has cut off is no failure.
            if !Task.isCancelled { logger.warning("the rules could not be checked: \(error)") }
            return .nothingKnown
        }
    }
}
