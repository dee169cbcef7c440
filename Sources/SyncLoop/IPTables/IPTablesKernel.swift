import BatchApplier
import ChainRenderer
import Foundation
import Logging
import ProxyCore

/// iptables mode: commits through the restore programs, compares with what the save programs print.
actor IPTablesKernel: FamilyKernel {
    typealias Renderer = IPTablesRenderer

    let family: IPFamily
    private let tables: any KernelTables
    /// Nil in the legacy variant, where only checks notice what others do.
    let watch: (any ForeignChangeWatch)?
    private let logger: Logger
    /// The chains of all services in table nat, as they are wanted now.
    let serviceChains: @Sendable () async -> Set<String>
    /// What is done after each commit, and belongs to it: other modes' rules go once all of ours are in place.
    private let didCommit: @Sendable (_ everything: Bool) async -> Void
    /// True where the kernel has none of our chains, as far as is known.
    var isBare: Bool
    private(set) var isCommitting = false
    /// How many batches have been given to the kernel.
    private(set) var commitCount = 0
    var known: KnownTables
    /// What the batches have written since the check that is under way began; nil if none is.
    private var writtenSinceCheck: WrittenChains?

    init(
        family: IPFamily, tables: any KernelTables, watch: (any ForeignChangeWatch)?, isBare: Bool, logger: Logger,
        serviceChains: @escaping @Sendable () async -> Set<String>,
        didCommit: @escaping @Sendable (_ everything: Bool) async -> Void = { _ in }
    ) {
        self.family = family
        self.tables = tables
        self.watch = watch
        self.isBare = isBare
        self.logger = logger
        self.serviceChains = serviceChains
        self.didCommit = didCommit
        known = KnownTables(family: family)
    }
}

// MARK: - Commit

extension IPTablesKernel {
    func commit(_ work: SyncWork<IPTablesBatch>) async throws(SyncFailure) -> CommitReport<Never> {
        isCommitting = true
        defer { isCommitting = false }
        var batches = work.batches
        if isBare, let essential = work.essential { batches.insert(essential, at: 0) }
        if work.isFull { known.expectation = NFTablesExpectation(family: family) }
        var report = CommitReport<Never>(kernelDuration: .zero)
        do throws(IPTablesError) {
            for batch in batches {
                writtenSinceCheck?.note(batch)
                commitCount += 1
                let committed = try await tables.apply(batch)
                report.kernelDuration += committed.restoreDuration
                tell(of: committed)
                known.expectation.add(batch)
            }
        } catch {
            throw SyncFailure(error)
        }
        isBare = false
        await rememberTables()
        await didCommit(work.isFull)
        return report
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
}

extension SyncFailure {
    init(_ error: IPTablesError) {
        let aftermath: String
        switch error.aftermath {
        case .unchanged: aftermath = ""
        case .putBack(let tables):
            aftermath = "Put back as they were: \(tables.map(\.rawValue).joined(separator: ", "))."
        case .halfDone(let tables, let reason):
            aftermath =
                "Changed and not put back: \(tables.map(\.rawValue).joined(separator: ", ")), because \(reason)."
        }
        self.init(
            description: "\(error)", isRefusal: error.kind == .refused,
            status: .init(
                at: Date(), sentence: String("\(error)".prefix { $0 != "\n" }),
                inputLines: error.inputLines.map { .init(number: $0.number, text: $0.text, isNamed: $0.isNamed) },
                aftermath: aftermath))
    }
}

// MARK: - Check

extension IPTablesKernel {
    func check(_ audit: RuleAudit) async throws -> CheckOutcome {
        guard !isCommitting else { return .busy }
        writtenSinceCheck = WrittenChains()
        defer { writtenSinceCheck = nil }
        // A second or so of work in a large cluster, which no sync waits for.
        let reading = try await tables.save([.filter, .nat], into: AuditReading(audit: audit)) { reading, piece in
            reading.take(piece)
        }
        if let failure = reading.failure { throw failure }
        guard let written = writtenSinceCheck, !written.isEverything else { return .nothingKnown }
        return .compared(try reading.audit.finish(skipping: written.chains).damage)
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
private struct WrittenChains: Sendable {
    private(set) var chains: Set<String> = []
    /// True where a full batch was among them.
    private(set) var isEverything = false

    mutating func note(_ batch: IPTablesBatch) {
        if !batch.ownedChainPrefixes.isEmpty { isEverything = true }
        chains.formUnion(batch.chainNames)
    }
}

extension AuditReport {
    /// What differs, for the count and for the log.
    fileprivate var damage: [Damage] {
        var damage = differences.findings.map { Damage(kind: $0.kind.rawValue, sentence: $0.sentence) }
        if uncomparedChainCount > 0 {
            damage.append(Damage(kind: "changed", sentence: "\(uncomparedChainCount) chains more"))
        }
        return damage
    }
}

extension Finding {
    /// `missing in nat KUBE-SERVICES (default/web:http): -A …`
    var sentence: String {
        let place = [table, chain].compactMap(\.self).joined(separator: " ")
        var sentence = place.isEmpty ? kind.rawValue : "\(kind.rawValue) in \(place)"
        if let service { sentence += " (\(service))" }
        if let detail { sentence += ": \(detail)" }
        if let rule = found.first ?? wanted.first { sentence += ": \(rule)" }
        return sentence
    }
}
