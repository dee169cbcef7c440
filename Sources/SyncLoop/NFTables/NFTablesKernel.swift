import BatchApplier
import Foundation
import Logging
import NFTBackend
import ProxyCore

/// nftables mode: commits transactions over netlink, each only if nothing has come in between that was not looked at.
actor NFTablesKernel: FamilyKernel {
    typealias Renderer = NFTablesRenderer

    private let family: IPFamily
    private let tables: any NFTablesAccess
    private let logger: Logger
    /// What is committed, or nil while something waits to be.
    private let committed: @Sendable () async -> SharedMapsTable?
    /// Takes away what other modes have left, once the table is in place.
    private let takeOver: @Sendable () async -> Void
    /// True if the table has counters, which go on where it is replaced.
    private let keepsCounts: Bool
    private var hasTakenOver = false
    /// The last transaction that is known to have left our table as it should be; nil if none is.
    private var generation: UInt32?
    /// True where a transaction of somebody else came before a commit and was not looked at: the next look is to judge
    /// the table, whatever its generation.
    private var isLookDue = false
    private var isCommitting = false
    private var commitCount = 0

    init(
        family: IPFamily, tables: any NFTablesAccess, logger: Logger, keepsCounts: Bool = false,
        committed: @escaping @Sendable () async -> SharedMapsTable?, takeOver: @escaping @Sendable () async -> Void
    ) {
        self.family = family
        self.tables = tables
        self.logger = logger
        self.keepsCounts = keepsCounts
        self.committed = committed
        self.takeOver = takeOver
    }
}

/// What the loop asks of the tables of nf_tables: the kernel, or in a test something that behaves like it.
protocol NFTablesAccess: Sendable {
    func generation() async throws(NFTablesError) -> UInt32
    func commit(_ batch: NFTablesBatch, after generation: UInt32?) async throws(NFTablesError) -> UInt32?
    func read(_ family: IPFamily, table: String, withElements: Bool) async throws(NFTablesError) -> NFTablesDump?
}

extension NFTablesApplier: NFTablesAccess {}

// MARK: - Commit

extension NFTablesKernel {
    func remains() async -> NFTKernelTable? {
        guard keepsCounts else { return nil }
        do throws(NFTablesError) {
            let dump = try await tables.read(family, table: NFTablesNames.sharedMaps, withElements: false)
            return dump.map { NFTKernelTable($0, family) }
        } catch {
            logger.warning("the counters of services begin anew, as they cannot be read: \(error)")
            return nil
        }
    }

    func commit(_ work: SyncWork<NFTablesBatch>) async throws(SyncFailure) -> CommitReport {
        isCommitting = true
        defer { isCommitting = false }
        let start = ContinuousClock.now
        for batch in work.batches {
            commitCount += 1
            do throws(NFTablesError) {
                generation = try await commit(batch, isFull: work.isFull)
            } catch {
                generation = nil
                isLookDue = false
                throw SyncFailure(error, of: batch)
            }
        }
        let report = CommitReport(kernelDuration: .now - start)
        if !hasTakenOver {
            hasTakenOver = true
            await takeOver()
        }
        return report
    }

    /// How often other transactions may come in between, one after the other.
    private static let attempts = 20

    private func commit(_ batch: NFTablesBatch, isFull: Bool) async throws(NFTablesError) -> UInt32? {
        var basis = isFull ? nil : generation
        // What replaces the whole table does not depend on what there was.
        if isFull { isLookDue = false }
        for _ in 0..<Self.attempts {
            let attempted = if let basis { basis } else { try await tables.generation() }
            do throws(NFTablesError) {
                return try await tables.commit(batch, after: attempted)
            } catch  where error.isOutdated {
                basis = nil
                isLookDue = !isFull
            }
        }
        // Somebody writes without a pause. Where elements are missing the kernel refuses the batch.
        isLookDue = true
        return try await tables.commit(batch, after: nil)
    }

    func check(_ audit: SharedMapsTable) async -> CheckOutcome {
        guard !isCommitting else { return .busy }
        let commits = commitCount
        do throws(NFTablesError) {
            let dump = try await tables.read(family, table: NFTablesNames.sharedMaps, withElements: true)
            guard commits == commitCount else { return .nothingKnown }
            let damage = await Self.damage(family, dump, audit, withElements: true)
            if damage.isEmpty, commits == commitCount {
                generation = dump?.generation
                isLookDue = false
            }
            return .compared(damage)
        } catch {
            logger.warning("the rules could not be checked: \(error)")
            return .nothingKnown
        }
    }

    @concurrent
    private static func damage(
        _ family: IPFamily, _ dump: NFTablesDump?, _ audit: SharedMapsTable, withElements: Bool
    ) async -> [Damage] {
        guard let dump else { return [Damage(kind: "table", sentence: "gone: table \(NFTablesNames.sharedMaps)")] }
        return audit.differences(from: NFTKernelTable(dump, family), withElements: withElements).map {
            Damage(kind: $0.kind.rawValue, sentence: $0.description)
        }
    }
}

// MARK: - Looking

extension NFTablesKernel {
    nonisolated var lookPeriod: Duration? { .milliseconds(500) }

    func look() async throws -> LookOutcome {
        guard !isCommitting, isLookDue || generation != nil else { return LookOutcome() }
        let commits = commitCount
        if !isLookDue, try await tables.generation() == generation { return LookOutcome() }
        guard commits == commitCount, let audit = await committed() else { return LookOutcome() }
        let dump = try await tables.read(family, table: NFTablesNames.sharedMaps, withElements: false)
        guard commits == commitCount, !isCommitting else { return LookOutcome() }
        let damage = await Self.damage(family, dump, audit, withElements: false)
        guard commits == commitCount, !isCommitting else { return LookOutcome() }
        generation = damage.isEmpty ? dump?.generation : nil
        isLookDue = false
        return LookOutcome(damage: damage)
    }

    nonisolated func nextForeignWriter(within time: Duration) async -> NFTablesWriter? {
        let ours = ProcessInfo.processInfo.processIdentifier
        return try? await NFTablesWriter.first(toChange: family, within: time, except: { $0.pid == ours })
    }
}

extension SyncFailure {
    fileprivate init(_ error: NFTablesError, of batch: NFTablesBatch) {
        let sentence = error.naming(objectOf: batch).sentence
        self.init(
            description: sentence, isRefusal: error.kind == .refused || error.kind == .outdated,
            status: .init(at: Date(), sentence: sentence))
    }
}
