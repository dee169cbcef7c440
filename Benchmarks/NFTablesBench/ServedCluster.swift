import BatchApplier
import BenchSupport
import NFTBackend
import ProxyCore
import TestSupport

/// A cluster with its table in the kernel, kept from commit to commit as the daemon keeps it.
struct ServedCluster {
    private var cluster: PlannedCluster
    private var table: SharedMapsTable
    private let applier = NFTablesApplier()
    /// Of the last commit.
    private var generation: UInt32?

    /// What one commit took, in milliseconds, and what it sent.
    struct Times {
        var ours: Double
        var kernel: Double
        /// What of both was processor time of this process, in the kernel too.
        var processor: Double
        var bytes: Int
    }

    init(services: Int) {
        cluster = PlannedCluster(services: services)
        table = cluster.emptyTable
        table.update(.init(changed: cluster.all))
    }

    var objects: LargeCluster { cluster.objects }

    mutating func commitAll() async throws {
        generation = try await applier.generation()
        guard let transaction = table.nextTransaction() else { throw Failure("nothing is to be committed") }
        try await commit(NFTablesBatch(transaction))
    }

    /// From changed objects to the acknowledgement.
    mutating func commit(_ changes: [ObjectChange]) async throws -> Times {
        let processor = processorMilliseconds()
        let start = ContinuousClock.now
        table.update(cluster.take(changes))
        let transaction = table.nextTransaction()
        let batch = transaction.map { NFTablesBatch($0) }
        let encoded = ContinuousClock.now
        guard let batch else { throw Failure("a change changes nothing") }
        try await commit(batch)
        let committed = ContinuousClock.now
        let used = processorMilliseconds() - processor
        // As the daemon takes away what nothing has needed for a second: in a transaction of its own.
        if let leftovers = table.cleanUp(now: .now) { try await commit(NFTablesBatch(leftovers)) }
        return Times(
            ours: (encoded - start).inMilliseconds, kernel: (committed - encoded).inMilliseconds, processor: used,
            bytes: batch.bytes.count)
    }

    private mutating func commit(_ batch: NFTablesBatch) async throws {
        do throws(NFTablesError) {
            generation = try await applier.commit(batch, after: generation)
        } catch {
            throw error.naming(error.place.flatMap { batch.object(ofMessage: $0.message, at: $0.offset) })
        }
        table.didCommit(at: .now)
    }
}
