import BatchApplier
import Foundation
import Logging
import ProxyCore
import Synchronization

/// Removes stale connection tracking entries after syncs, beside them.
///
/// What is asked for while entries are being removed is put together and done next. The families do not wait for each
/// other, but for the one thread that asks the kernel.
final class ConntrackLoop: Sendable {
    private struct State {
        var pending: [IPFamily: FlowQuery] = [:]
        var status: DaemonStatus.Conntrack?
        /// The last failure of each family, until a cleaning succeeds: said once.
        var failures: [IPFamily: ConntrackError] = [:]
        /// True once the kernel has said that it tracks no connections.
        var isOff = false
    }

    private let state = Mutex(State())
    private let signals = (ipv4: Signal(), ipv6: Signal())
    private let cleaner: any FlowCleaner
    private let refresh: @Sendable (FlowQuery) async -> FlowQuery
    private let retryPause: Duration
    private let logger: Logger

    /// - Parameter refresh: what a query that has waited comes to by now. Endpoints that were added since are not stale,
    ///   and an addition alone makes no query.
    init(
        cleaner: any FlowCleaner = ConntrackCleaner(), retryPause: Duration = .seconds(5), logger: Logger,
        refresh: @escaping @Sendable (FlowQuery) async -> FlowQuery
    ) {
        self.cleaner = cleaner
        self.retryPause = retryPause
        self.logger = logger
        self.refresh = refresh
    }

    var status: DaemonStatus.Conntrack? { state.withLock(\.status) }

    /// The rules that a query goes with have been committed.
    func rulesChanged(_ query: FlowQuery) {
        state.withLock { state in
            guard !state.isOff else { return }
            state.pending[query.family] = state.pending[query.family].map { $0.followed(by: query) } ?? query
        }
        signal(of: query.family).raise()
    }

    func run() async {
        await withDiscardingTaskGroup { group in
            for family in IPFamily.allCases { group.addTask { await self.run(family) } }
        }
    }

    private func run(_ family: IPFamily) async {
        while !Task.isCancelled {
            await signal(of: family).wait()
            while !Task.isCancelled, let query = state.withLock({ $0.pending.removeValue(forKey: family) }) {
                await clean(await refresh(query))
            }
        }
    }

    private func signal(of family: IPFamily) -> Signal { family == .ipv4 ? signals.ipv4 : signals.ipv6 }

    private func clean(_ query: FlowQuery) async {
        do throws(ConntrackError) {
            let report = try await cleaner.clean(query)
            state.withLock { state in
                state.failures[query.family] = nil
                state.status = .init(
                    lastCleaned: Date(), deleted: report.deleted, duration: report.duration,
                    failure: state.failures.values.first.map { "\($0)" })
            }
            let facts: Logger.Metadata = [
                "family": "\(query.family.rawValue)", "deleted": "\(report.deleted)",
                "examined": "\(report.examined)", "ms": "\(report.duration.milliseconds)",
            ]
            logger.log(level: report.deleted > 0 ? .info : .debug, "stale UDP flows are deleted", metadata: facts)
        } catch {
            await failed(query, error)
        }
    }

    private func failed(_ query: FlowQuery, _ error: ConntrackError) async {
        guard !Task.isCancelled else { return }
        let (isNew, isOver) = state.withLock { state in
            let isNew = !state.isOff && state.failures[query.family] != error
            state.failures[query.family] = error
            state.status = .init(lastCleaned: Date(), deleted: 0, duration: .zero, failure: "\(error)")
            if case .unavailable = error {
                state.isOff = true
                state.pending = [:]
            } else {
                let later = state.pending[query.family]
                state.pending[query.family] = later.map { query.followed(by: $0) } ?? query
            }
            return (isNew, state.isOff)
        }
        if isNew { logger.warning("\(error)", metadata: ["family": "\(query.family.rawValue)"]) }
        if !isOver { try? await Task.sleep(for: retryPause) }
    }
}

/// What deletes flows: the kernel, or in a test something that behaves like it.
protocol FlowCleaner: Sendable {
    func clean(_ query: FlowQuery) async throws(ConntrackError) -> ConntrackCleaner.Report
}

extension ConntrackCleaner: FlowCleaner {}
