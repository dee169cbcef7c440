import Foundation
import ProxyCore

/// Puts together what the daemon says of itself.
struct StatusReporter: Sendable {
    let options: Daemon.Options
    let sourceDescription: String
    let startedAt: Date
    let model: ClusterModel
    let loops: [FamilyLoop]
    let conntrack: ConntrackLoop

    /// How long a source may be interrupted before that is a problem: a restarting API server is none.
    private static let interruptionGrace = 60.0

    func status() async -> DaemonStatus {
        var status = DaemonStatus(
            version: options.version, mode: .iptables, variant: options.variant, nodeName: options.nodeName,
            startedAt: startedAt, source: .init(description: sourceDescription))
        (status.source.synced, status.source.interrupted) = await model.source
        for loop in loops { status.families.append(await loop.currentStatus()) }
        status.conntrack = conntrack.status
        status.logLinesDropped = options.logLinesDropped()
        status.problems = problems(of: status)
        status.healthy = status.problems.isEmpty
        return status
    }

    private func problems(of status: DaemonStatus) -> [String] {
        let now = Date()
        var problems: [String] = []
        for family in status.families { problems += self.problems(of: family, now) }
        for interruption in status.source.interrupted
        where now.timeIntervalSince(interruption.since) > Self.interruptionGrace {
            problems.append("\(interruption.kind.rawValue) objects cannot be followed: \(interruption.reason).")
        }
        if let problem = options.configurationProblem() { problems.append(problem) }
        return problems
    }

    private func problems(of family: DaemonStatus.Family, _ now: Date) -> [String] {
        let name = family.family.rawValue
        var problems: [String] = []
        let patience = options.configuration.iptables.syncPeriod / .seconds(1) * 2
        if family.retryAt != nil, let failure = family.lastFailure {
            problems.append("\(name): the rules could not be committed: \(failure.sentence)")
        } else if let pending = family.pendingChanges, now.timeIntervalSince(pending.since) > patience {
            problems.append("\(name): changes wait for \(Int(now.timeIntervalSince(pending.since))) s.")
        }
        if family.lastSync == nil, family.lastFailure == nil {
            problems.append("\(name): no rules have been committed yet.")
        }
        if let contest = family.contested {
            let by = contest.by.map { " (\($0))" } ?? ""
            problems.append("\(name): another program\(by) undoes what is mended; it is mended at each check only.")
        }
        return problems
    }
}
