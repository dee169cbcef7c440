public import ProxyCore

extension IPTablesRules {
    /// Everything, whatever has been committed before.
    public mutating func fullBatch() -> IPTablesBatch {
        fullBatch(fragments(sortedNames()), ownChains: true)
    }

    private func fullBatch(_ fragments: [ServiceFragment], ownChains: Bool) -> IPTablesBatch {
        IPTablesBatch(
            family: node.family,
            tables: [
                .init(name: .filter, text: TopLevelChains.filterTable(node, options, fragments)),
                .init(name: .nat, text: TopLevelChains.natTable(node, fragments, ownChains: ownChains)),
            ],
            jumps: TopLevelChains.jumps, ownedChainPrefixes: ServiceChain.ownedPrefixes, sysctls: sysctls)
    }

    /// Everything in several batches, to be committed one after the other: first the services' own chains, a bounded
    /// number in each, then the shared chains that make them reachable, with all the rest.
    ///
    /// iptables-nft-restore takes time in proportion to the square of the chains in one input (docs/decisions/0004).
    /// Each service port's chains are in one batch, so that it is served by the old or by the new ones at any moment;
    /// those of `ServicePlan.isEssential` are in the first.
    /// If a batch is refused, the ones before have left chains that nothing leads to, or new ones in place of old.
    /// A small cluster is one batch.
    public mutating func fullBatches(chainLimit: Int) -> [IPTablesBatch] {
        let all = fragments(sortedNames())
        guard all.reduce(0, { $0 + $1.chainCount }) > chainLimit else { return [fullBatch(all, ownChains: true)] }
        let essential = essentialNames()
        let first = Set(essential)
        let order = essential + sortedNames().filter { !first.contains($0) }
        let pieces = pieces(of: fragments(order), chainLimit) { TopLevelChains.natPiece(node, $0) }
        var last = fullBatch(all, ownChains: false)
        last.keptChains = Set(all.flatMap(\.chainNames))
        return pieces + [last]
    }

    /// The essential services alone, for a kernel that has nothing of ours: they are served while the batches of
    /// everything, which take seconds, are still being committed. Nil if there are none, or if the cluster is so small
    /// that one batch of everything takes no longer.
    ///
    /// It is no part of the bookkeeping: it is committed first, then come the batches of `nextBatches(chainLimit:)`,
    /// which must be those of everything (`didFail()`), and only they are followed by `didCommit()`. They put the same
    /// rules in its place and the shared chains last, each in one commit, so that nothing of it is lost in between.
    /// Packets to services that are not in it pass as if there were no proxy; none is rejected.
    public func essentialBatch() -> IPTablesBatch? {
        let names = essentialNames()
        // An input of this size is committed within a fraction of a second in either variant.
        guard !names.isEmpty, fragments.values.reduce(0, { $0 + $1.chainCount }) > 1000 else { return nil }
        var batch = fullBatch(fragments(names), ownChains: true)
        // Should there be chains of ours after all, they stay until all is written.
        batch.ownedChainPrefixes = []
        return batch
    }

    private func essentialNames() -> [ServicePortName] {
        plans.all.filter(\.isEssential).map(\.name).sorted()
    }

    /// What has changed since `didCommit()` was last called, or nil if nothing has.
    ///
    /// Chains that did not change are not in it, the top-level ones included. Before the first commit, and after the
    /// node plan has changed, it is the full batch.
    public mutating func partialBatch() -> IPTablesBatch? { nextBatches(chainLimit: .max).first }

    /// What has to be committed, to be committed one after the other; empty if nothing has changed since `didCommit()`
    /// was last called.
    ///
    /// Usually it is one batch with what has changed. Where that declares more chains than `chainLimit` it comes in
    /// pieces: the chains of services, then the shared chains, then the removal of what nothing leads to any more.
    /// Before the first commit, after the node plan has changed and after `didFail()` it is `fullBatches`.
    ///
    /// When all are committed, call `didCommit()`; when one was refused, `didFail()`. Call no `update` in between.
    public mutating func nextBatches(chainLimit: Int) -> [IPTablesBatch] {
        if pending.isEverything { return fullBatches(chainLimit: chainLimit) }
        guard !pending.isEmpty else { return [] }
        var changed = fragments(pending.services.sorted())
        var stale = pending.staleChains.sorted()
        var batches: [IPTablesBatch] = []
        var removals: [IPTablesBatch] = []
        if changed.reduce(stale.count, { $0 + $1.chainCount }) > chainLimit {
            batches = pieces(of: changed, chainLimit) {
                TopLevelChains.natDelta(node, top: nil, changed: Array($0), stale: [])
            }
            changed = []
            removals = removalPieces(of: stale, chainLimit)
            stale = []
        }
        if let batch = delta(changed, stale) { batches.append(batch) }
        return batches + removals
    }

    private mutating func delta(_ changed: [ServiceFragment], _ stale: [String]) -> IPTablesBatch? {
        var tables: [IPTablesBatch.Table] = []
        let shared = pending.filter || pending.top ? fragments(sortedNames()) : []
        if pending.filter {
            tables.append(.init(name: .filter, text: TopLevelChains.filterTable(node, options, shared)))
        }
        if pending.top || !changed.isEmpty || !stale.isEmpty {
            let text = TopLevelChains.natDelta(
                node, top: pending.top ? shared : nil, changed: changed, stale: stale)
            tables.append(.init(name: .nat, text: text))
        }
        return tables.isEmpty ? nil : IPTablesBatch(family: node.family, tables: tables, sysctls: sysctls)
    }

    /// Batches of whole fragments with at most `limit` chains each, but at least one fragment.
    private func pieces(
        of fragments: [ServiceFragment], _ limit: Int, _ text: (ArraySlice<ServiceFragment>) -> [UInt8]
    ) -> [IPTablesBatch] {
        let counts = fragments.map(\.chainCount)
        var batches: [IPTablesBatch] = []
        var start = 0
        while start < fragments.count {
            var end = start
            var count = 0
            repeat {
                count += counts[end]
                end += 1
            } while end < fragments.count && count + counts[end] <= limit
            if count > 0 {
                let table = IPTablesBatch.Table(name: .nat, text: text(fragments[start..<end]))
                batches.append(IPTablesBatch(family: node.family, tables: [table]))
            }
            start = end
        }
        return batches
    }

    /// Batches that remove chains. A chain that leads to another goes before it or with it.
    private func removalPieces(of stale: [String], _ limit: Int) -> [IPTablesBatch] {
        let order = ["KUBE-FW-", "KUBE-EXT-", "KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-"]
        let sorted = order.flatMap { prefix in stale.filter { $0.hasPrefix(prefix) } }
        let size = max(limit, 1)
        return stride(from: 0, to: sorted.count, by: size).map { start in
            let chains = Array(sorted[start..<min(start + size, sorted.count)])
            let text = TopLevelChains.natDelta(node, top: nil, changed: [], stale: chains)
            return IPTablesBatch(family: node.family, tables: [.init(name: .nat, text: text)])
        }
    }

    func fragments(_ names: [ServicePortName]) -> [ServiceFragment] {
        names.compactMap { fragments[$0] }
    }

    /// Node ports on loopback addresses need packets from 127.0.0.0/8 to be routed (ip-sysctl.txt, `route_localnet`).
    private var sysctls: [IPTablesBatch.Sysctl] {
        node.guardsLoopback ? [.init(path: "net/ipv4/conf/all/route_localnet", value: "1")] : []
    }
}
