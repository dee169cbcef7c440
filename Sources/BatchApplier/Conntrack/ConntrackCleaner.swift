import CMnl
package import ProxyCore
import SystemPackage

/// Deletes stale UDP flows from the table of connections of the network namespace that it is called in.
///
/// Works on a thread of its own, one cleaning after the other, and stops between two datagrams of the kernel when its
/// task is cancelled.
///
/// What a cleaning costs: the kernel looks at every entry of its table for each dump, of whatever namespace, and copies
/// those that pass the filter. So a few destinations are asked for one by one, and with many all UDP flows are read
/// and judged as they pass by. They are never collected.
///
/// While a walk finds nothing to copy the kernel holds back the other packets of that core (`ctnetlink_dump_table`
/// disables bottom halves), which is why destinations are not asked for one by one in any number.
///
/// A stale flow whose client keeps sending does not come back: its next packet, or one in flight, is judged by the
/// rules like that of a new flow, and those are in the kernel before a cleaning starts.
package actor ConntrackCleaner {
    /// What a cleaning came to.
    package struct Report: Hashable, Sendable {
        /// Entries that were deleted. Those that went by themselves meanwhile are not among them.
        package var deleted = 0
        /// Entries that the kernel sent.
        package var examined = 0
        package var dumps = 0
        package var duration: Duration = .zero
    }

    /// Below this number of requests even a batch whose every entry is gone does not fill the receive buffer.
    private static let deletionsPerBatch = 256

    private let selectorLimit: Int
    private let asksForFilters: Bool
    private nonisolated let executor = BlockingExecutor(label: "conntrack")
    /// False once the kernel has sent what it was not asked for.
    private var kernelFilters = true

    /// - Parameters:
    ///   - selectorLimit: how many destinations are asked for one by one. Each costs the kernel a walk over its table:
    ///     a third of a second of one core for a million entries. All of UDP costs one walk, and two microseconds for
    ///     each entry of UDP, so where nearly all is UDP seven walks are as dear.
    ///   - asksForFilters: false has the kernel see requests as one before 5.8 would, for tests.
    package init(selectorLimit: Int = 4, asksForFilters: Bool = true) {
        self.selectorLimit = selectorLimit
        self.asksForFilters = asksForFilters
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Deletes the flows that are stale by the query.
    ///
    /// To be called when the rules that the query was made with are in the kernel. After an error the query belongs
    /// back into `FlowClaims`, except where the error is `unavailable`.
    package func clean(_ query: FlowQuery) throws(ConntrackError) -> Report {
        do throws(NetlinkError) {
            let start = ContinuousClock.now
            var report = Report()
            var deletion = try ConntrackDeletion(query.family, atOnce: Self.deletionsPerBatch)
            // A socket whose dump was given up is not used again.
            var socket = try NetlinkSocket()
            for selector in selectors(for: query) {
                report.dumps += 1
                let isComplete = try dump(selector, query, &socket, &deletion, &report)
                deletion.send()
                if isComplete { break }
            }
            report.deleted = try deletion.finish()
            report.duration = start.duration(to: .now)
            return report
        } catch {
            throw ConntrackError(error)
        }
    }

    /// Nil stands for all of UDP.
    private func selectors(for query: FlowQuery) -> [FlowQuery.Selector?] {
        guard kernelFilters, let wanted = query.selectors else { return [nil] }
        // A filter by an IPv6 address passes every address but that one, in every kernel so far: the comparison in
        // ctnetlink_filter_match_tuple is the wrong way round. The port alone is asked for.
        let usable = query.family == .ipv4 ? Set(wanted) : Set(wanted.map { .init(address: nil, port: $0.port) })
        return usable.count <= selectorLimit ? Array(usable) : [nil]
    }

    /// Reads what a selector names, deletes what is stale, and returns whether everything was read in truth.
    private func dump(
        _ selector: FlowQuery.Selector?, _ query: FlowQuery, _ socket: inout NetlinkSocket,
        _ deletion: inout ConntrackDeletion, _ report: inout Report
    ) throws(NetlinkError) -> Bool {
        var isFiltered = true
        func judge(_ message: NetlinkMessage) {
            report.examined += 1
            guard let entry = ConntrackEntry(message) else { return }
            if let selector, !selector.names(entry.flow) { isFiltered = false }
            if query.isStale(entry.flow) { deletion.add(entry) }
        }
        let operation = "list UDP connections"
        do throws(NetlinkError) {
            let request =
                asksForFilters
                ? ConntrackRequests.udp(of: query.family, to: selector) : ConntrackRequests.everything(of: query.family)
            try socket.dump(request, operation: operation, isCancelled: { Task.isCancelled }, judge)
        } catch  where error.errno == .invalidArgument || error.errno == .notSupported {
            // A kernel that knows filters but not this one.
            isFiltered = false
            let request = ConntrackRequests.everything(of: query.family)
            try socket.dump(request, operation: operation, isCancelled: { Task.isCancelled }, judge)
        }
        if !isFiltered { kernelFilters = false }
        return !isFiltered
    }
}

extension FlowQuery.Selector {
    /// True if a dump filtered by this may have the flow in it.
    func names(_ flow: UDPFlow) -> Bool {
        flow.destination.port == port && (address == nil || flow.destination.address == address)
    }
}
