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
    /// What is done after each commit, and belongs to it: other modes' rules go once all of ours are in place.
    private let didCommit: @Sendable (_ everything: Bool) async -> Void
    /// The last transaction that is known to have left our table as it should be; nil if none is.
    private var generation: UInt32?
    /// True where a transaction of somebody else came before a commit and was not looked at: the next look is to judge
    /// the table, whatever its generation.
    private var isLookDue = false
    private var isCommitting = false
    private var commitCount = 0

    init(
        family: IPFamily, tables: any NFTablesAccess, logger: Logger,
        committed: @escaping @Sendable () async -> SharedMapsTable?,
        didCommit: @escaping @Sendable (_ everything: Bool) async -> Void
    ) {
        self.family = family
        self.tables = tables
        self.logger = logger
        self.committed = committed
        self.didCommit = didCommit
    }
}

/// What the loop asks of the tables of nf_tables: the kernel, or in a test something that behaves like it.
protocol NFTablesAccess: Sendable {
    func generation() async throws(NFTablesError) -> UInt32
    func commit(_ batch: NFTablesBatch, after generation: UInt32?) async throws(NFTablesError) -> UInt32?
    func read<Value: Sendable>(
        _ family: IPFamily, table: String, elementsOf isSetListed: @escaping @Sendable (String) -> Bool,
        into start: Value,
        _ take: @Sendable (inout Value, NFTablesDump.Message) -> Void
    ) async throws(NFTablesError) -> (generation: UInt32, value: Value)?
}

extension NFTablesApplier: NFTablesAccess {}

// MARK: - Commit

extension NFTablesKernel {
    func finding(everything: Bool) async -> NFTKernelTable? {
        guard everything else { return nil }
        do throws(NFTablesError) {
            return try await read(.ofSets(SharedMapsTable.setsTakenOver))?.table.table
        } catch {
            // Where nothing can be done at all the commit says so.
            if error.kind != .unsupported {
                logger.warning("affinity and counters begin anew, as the table cannot be read: \(error)")
            }
            return nil
        }
    }

    func commit(_ work: SyncWork<NFTablesBatch>) async throws(SyncFailure) -> CommitReport<Never> {
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
        let report = CommitReport<Never>(kernelDuration: .now - start)
        await didCommit(work.isFull)
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

    func check(_ audit: SharedMapsTable) async throws -> CheckOutcome {
        guard !isCommitting else { return .busy }
        let commits = commitCount
        guard var found = try await read(.digested) else { return .compared([.noTable]) }
        guard commits == commitCount else { return .nothingKnown }
        var damage: [Damage]
        let elements = await Self.differingElements(found.table, audit)
        if elements.isEmpty {
            damage = await Self.damage(found.table, audit)
        } else {
            guard let again = try await read(.selected(elements)) else { return .compared([.noTable]) }
            guard commits == commitCount else { return .nothingKnown }
            found = again
            damage = await Self.damage(found.table, audit, in: elements)
        }
        if damage.isEmpty, commits == commitCount {
            generation = found.generation
            isLookDue = false
        }
        return .compared(damage)
    }

    /// How many elements a check looks at one by one: more would take memory, and nobody reads their list.
    private static let closeLooks = 2000

    /// Our table with the elements that are asked for; nil where it is gone.
    private func read(
        _ elements: NFTDumpDecoder.Elements
    ) async throws(NFTablesError) -> (generation: UInt32, table: NFTDumpDecoder)? {
        let decoder = NFTDumpDecoder(family, table: NFTablesNames.sharedMaps, elements: elements)
        return try await tables.read(
            family, table: NFTablesNames.sharedMaps, elementsOf: { elements.include(set: $0) }, into: decoder
        ) { decoder, message in decoder.take(type: message.type, message.payload) }
        .map { ($0.generation, $0.value) }
    }

    // Beside the actor, which commits meanwhile.

    @concurrent
    private static func differingElements(
        _ found: NFTDumpDecoder, _ audit: SharedMapsTable
    ) async -> NFTElementSelection {
        audit.differingElements(from: found, limit: closeLooks)
    }

    @concurrent
    private static func damage(
        _ found: NFTDumpDecoder, _ audit: SharedMapsTable, in elements: NFTElementSelection? = nil
    ) async -> [Damage] {
        let differences =
            elements.map { audit.differences(from: found.table, in: $0) }
            ?? audit.differences(from: found.table, withElements: false)
        return differences.map { Damage(kind: $0.kind.rawValue, sentence: $0.description) }
    }
}

extension Damage {
    fileprivate static let noTable = Damage(kind: "table", sentence: "gone: table \(NFTablesNames.sharedMaps)")
}

// MARK: - Looking

extension NFTablesKernel {
    nonisolated var lookPeriod: Duration? { .milliseconds(500) }

    func look() async throws -> LookOutcome {
        guard !isCommitting, isLookDue || generation != nil else { return LookOutcome() }
        let commits = commitCount
        if !isLookDue, try await tables.generation() == generation { return LookOutcome() }
        guard commits == commitCount, let audit = await committed() else { return LookOutcome() }
        let found = try await read(.none)
        guard commits == commitCount, !isCommitting else { return LookOutcome() }
        let damage = if let found { await Self.damage(found.table, audit) } else { [Damage.noTable] }
        guard commits == commitCount, !isCommitting else { return LookOutcome() }
        generation = damage.isEmpty ? found?.generation : nil
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
