public import BatchApplier
public import ProxyCore

/// Takes away, on a node that is served in one mode, what the other modes have left: ours, or a kube-proxy's.
///
/// Everything is to be called after the rules of the serving mode are in place: until then the old ones serve, and for
/// a moment both send to the same endpoints.
public struct ModeRemains: Sendable {
    /// By what a node is served.
    public enum Serving: Sendable {
        case iptables(IPTablesVariant)
        case ipvs(IPTablesVariant)
        case nftables
    }

    /// What became of something that was left.
    public enum Finding: Sendable {
        /// Such as `IPv4 nftables: removed table kube-proxy`.
        case removed(String)
        /// What stays for now, and why.
        case kept(String)
        case failed(String)
    }

    private let serving: Serving
    private let access: NodeAccess
    private let cleaner: IPVSCleaner

    /// - Parameter excluded: ranges in which every virtual server is another program's (`excludeCIDRs`).
    public init(_ serving: Serving, excluding excluded: [CIDR], access: NodeAccess = NodeAccess()) {
        self.serving = serving
        self.access = access
        cleaner = IPVSCleaner(excluding: excluded)
    }

    /// Removes the rules of the other modes, and the accounting objects that only iptables mode counts in.
    public func removeRules(_ family: IPFamily) async -> [Finding] {
        switch serving {
        case .iptables(let variant):
            return await removeTables(family)
                + findings(await IPTablesRemains.remove(family, servedIn: .iptables, variant, access))
        case .ipvs(let variant):
            return findings(await IPTablesRemains.remove(family, servedIn: .ipvs, variant, access))
                + (await removeTables(family)) + (await removeAccounting())
        case .nftables:
            return findings(await IPTablesRemains.remove(family, access)) + (await removeAccounting())
        }
    }

    private func findings(_ removals: [Result<IPTablesCleanup, IPTablesError>]) -> [Finding] {
        removals.map { removal in
            switch removal {
            case .success(let cleanup): .removed("\(cleanup.place): removed \(cleanup.counts)")
            case .failure(let error): .failed("\(error)")
            }
        }
    }

    private func removeTables(_ family: IPFamily) async -> [Finding] {
        await NFTablesRemains.remove(family).map { removal in
            if let failure = removal.failure { return .failed("\(failure)") }
            return .removed("\(family.rawValue) nftables: removed table \(removal.table)")
        }
    }

    private func removeAccounting() async -> [Finding] {
        let objects = Accounting.existing(Accounting.objectNames)
        let failures = await Accounting.remove(objects)
        // Rules of the other family may still count in them.
        let findings = failures.filter { !$0.isInUse }.map { Finding.failed("\($0)") }
        let removed = objects.count - failures.count
        return removed > 0 ? findings + [.removed("removed \(removed.counted("accounting object"))")] : findings
    }

    /// Removes what ipvs mode has left beside its rules, as far as no connection is open, and waits some seconds for
    /// those that end soon. Nothing where ipvs mode serves.
    public func retireVirtualServers(_ family: IPFamily) async -> [Finding] {
        if case .ipvs = serving { return [] }
        do throws(IPVSError) {
            let report = try await cleaner.retire(family)
            var findings: [Finding] = []
            if !report.removed.isEmpty {
                findings.append(.removed("\(family.rawValue) ipvs: removed \(report.removed.summary)"))
            }
            if !report.kept.isEmpty {
                findings.append(
                    .kept(
                        "\(family.rawValue) ipvs: \(report.kept.summary) stay for "
                            + "\(report.openConnections.counted("open connection"))"))
            }
            return findings + report.failures.map { .failed("\(family.rawValue) ipvs: \($0)") }
        } catch {
            return [.failed("\(family.rawValue) ipvs: \(error)")]
        }
    }
}
