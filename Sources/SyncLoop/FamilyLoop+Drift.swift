import BatchApplier
import Foundation
import Logging
import ProxyCore

// MARK: - Losses

extension FamilyLoop {
    /// Looks after what is ours in between the checks.
    func lookForever(every period: Duration) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: period)
            guard status.lastSync != nil else { continue }
            do {
                let outcome = try await kernel.look()
                if outcome.needsCheck {
                    schedule.hastenCheck(at: .now)
                    checkSignal.raise()
                }
                if !outcome.damage.isEmpty { mend(outcome.damage, byCheck: false) }
                isBlind = false
            } catch {
                if !isBlind { logger.warning("foreign changes cannot be noticed: \(error)") }
                isBlind = true
            }
        }
    }
}

// MARK: - Mending

extension FamilyLoop {
    /// Counts and tells what differed, and has it mended, unless somebody undoes that again and again.
    func mend(_ damage: [Damage], byCheck: Bool) {
        let wasContested = schedule.contestedSince != nil
        let isMended = schedule.damageFound(at: .now, byCheck: byCheck)
        let differences = damage.prefix(10).map(\.sentence)
        if isMended {
            for one in damage { status.drift.mended[one.kind, default: 0] += 1 }
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

    /// Listens for a while to who changes what is ours, where that is not known yet.
    private func findRival() {
        guard kernel.lookPeriod != nil, rivalSearch == nil, let contest = status.contested, contest.by == nil else {
            return
        }
        rivalSearch = Task { [weak self, kernel] in
            let writer = await kernel.nextForeignWriter(within: .seconds(30))
            await self?.found(rival: writer)
        }
    }

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
