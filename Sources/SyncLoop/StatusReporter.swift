import BatchApplier
import Foundation
import ProxyCore

/// Puts together what the daemon says of itself.
struct StatusReporter: Sendable {
    let options: Daemon.Options
    let mode: ProxyMode
    let variant: IPTablesVariant?
    /// How long changes may wait before that is a problem.
    let patience: Duration
    let sourceDescription: String
    let startedAt: Date
    let source: @Sendable () async -> (synced: [ObjectKind], interrupted: [DaemonStatus.Interruption])
    let families: [@Sendable () async -> DaemonStatus.Family]
    let conntrack: ConntrackLoop

    /// How long a source may be interrupted before that is a problem: a restarting API server is none.
    private static let interruptionGrace = 60.0

    func status() async -> DaemonStatus {
        var status = DaemonStatus(
            version: options.version, mode: mode, variant: variant, nodeName: options.nodeName,
            startedAt: startedAt, source: .init(description: sourceDescription))
        (status.source.synced, status.source.interrupted) = await source()
        for family in families { status.families.append(await family()) }
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
        let patience = patience / .seconds(1)
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
