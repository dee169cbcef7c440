import BatchApplier
import ChainRenderer
import Foundation
import IPVSBackend
import Logging
import ProxyCore

/// ipvs mode: commits the differences over netlink, and the few rules through the restore programs.
actor IPVSKernel: FamilyKernel {
    typealias Renderer = IPVSRenderer

    private let family: IPFamily
    private let node: any IPVSAccess
    /// What checks look with: a commit does not wait for them.
    private let observer: any IPVSAccess
    private let logger: Logger
    /// The virtual servers that have to be looked at before the next batch.
    private let serversToLookAt: @Sendable () async -> Set<VirtualServer.Key>
    /// The cluster IPs that are not put on the device, as the node has them on another.
    private let clusterIPsElsewhere: @Sendable () async -> [IPAddress: ServicePortName]
    private var namedAddresses: Set<IPAddress> = []
    /// What is done after each commit, and belongs to it: other modes' rules go once all of ours are in place.
    private let didCommit: @Sendable (_ everything: Bool) async -> Void
    private var isCommitting = false
    private var commitCount = 0

    init(
        family: IPFamily, node: any IPVSAccess, observer: any IPVSAccess, logger: Logger,
        serversToLookAt: @escaping @Sendable () async -> Set<VirtualServer.Key>,
        clusterIPsElsewhere: @escaping @Sendable () async -> [IPAddress: ServicePortName] = { [:] },
        didCommit: @escaping @Sendable (_ everything: Bool) async -> Void = { _ in }
    ) {
        self.family = family
        self.node = node
        self.observer = observer
        self.logger = logger
        self.serversToLookAt = serversToLookAt
        self.clusterIPsElsewhere = clusterIPsElsewhere
        self.didCommit = didCommit
    }
}

/// What the loop asks of virtual servers, sets, addresses and rules: the kernel, or in a test something that behaves like
/// it.
protocol IPVSAccess: Sendable {
    func list(_ family: IPFamily) async throws(IPVSError) -> IPVSKernelState
    func look(at keys: Set<VirtualServer.Key>) async throws(IPVSError) -> [VirtualServer.Key: FoundVirtualServer?]
    func commit(_ batch: IPVSBatch) async throws -> IPVSCommitter.Report
    /// What iptables-save prints of the tables that have rules of ours.
    func savedRules() async throws(IPTablesError) -> [UInt8]
}

extension IPVSCommitter: IPVSAccess {}

// MARK: - Commit

extension IPVSKernel {
    func finding(everything: Bool) async throws(SyncFailure) -> IPVSFinding? {
        do throws(IPVSError) {
            if everything { return .everything(try await node.list(family)) }
            let keys = await serversToLookAt()
            return keys.isEmpty ? nil : .servers(try await node.look(at: keys))
        } catch {
            throw SyncFailure(error)
        }
    }

    func commit(_ work: SyncWork<IPVSBatch>) async throws(SyncFailure) -> CommitReport<IPVSRefusal> {
        isCommitting = true
        defer { isCommitting = false }
        let start = ContinuousClock.now
        var refusals: [IPVSRefusal] = []
        for batch in work.batches {
            commitCount += 1
            do {
                let report = try await node.commit(batch)
                refusals += report.refusals
                for warning in report.warnings { logger.warning("\(warning)") }
            } catch let error as IPVSError {
                throw SyncFailure(error)
            } catch let error as IPTablesError {
                throw SyncFailure(error)
            } catch {
                throw SyncFailure(
                    description: "\(error)", isRefusal: false, status: .init(at: Date(), sentence: "\(error)"))
            }
        }
        let report = CommitReport(kernelDuration: .now - start, refusals: refusals)
        await nameClusterIPsElsewhere()
        await didCommit(work.isFull)
        return report
    }
}

extension IPVSKernel {
    /// Says once for each that the node's own ports can be reached through it.
    private func nameClusterIPsElsewhere() async {
        let found = await clusterIPsElsewhere()
        for (address, service) in found where !namedAddresses.contains(address) {
            logger.warning(
                "a cluster IP is an address of another device too: it is served there, and the node's other ports with it",
                metadata: ["address": "\(address)", "service": "\(service)"])
        }
        namedAddresses = Set(found.keys)
    }
}

extension SyncFailure {
    fileprivate init(_ error: IPVSError) {
        self.init(
            description: error.sentence, isRefusal: error.kind == .refused,
            status: .init(at: Date(), sentence: error.sentence))
    }
}

// MARK: - Check

extension IPVSKernel {
    func check(_ audit: IPVSTable) async throws -> CheckOutcome {
        guard !isCommitting else { return .busy }
        let commits = commitCount
        let found = try await observer.list(family)
        let saved = try await observer.savedRules()
        guard commits == commitCount else { return .nothingKnown }
        let damage = try await Self.damage(found, saved, audit, family)
        return commits == commitCount ? .compared(damage) : .nothingKnown
    }

    // Beside the actor, which commits meanwhile.
    @concurrent
    private static func damage(
        _ found: IPVSKernelState, _ saved: [UInt8], _ audit: IPVSTable, _ family: IPFamily
    ) async throws -> [Damage] {
        var damage: [Damage] = []
        if audit.isDamaged(in: found) {
            damage = audit.differences(from: found).map { Damage(kind: $0.kind.rawValue, sentence: "\($0)") }
        }
        guard let rules = audit.committedRules else { return damage }
        let comparison = RuleComparison(
            wanted: try RuleSet(wanted: rules), found: try RuleSet(parsing: saved, family: family),
            leavesGuardToKubelet: true)
        for finding in comparison.differences().findings {
            damage.append(Damage(kind: finding.kind.rawValue, sentence: finding.sentence))
        }
        return damage
    }

    /// The kernel tells nobody of changes to virtual servers and sets: only checks notice what others do.
    nonisolated var lookPeriod: Duration? { nil }

    func look() async -> LookOutcome { LookOutcome() }

    nonisolated func nextForeignWriter(within time: Duration) async -> NFTablesWriter? { nil }
}
