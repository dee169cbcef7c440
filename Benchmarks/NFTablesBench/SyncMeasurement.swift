import BatchApplier
import BenchSupport
import NFTBackend
import ProxyCore

/// Everything into a kernel without our table, beside a replay of the same bytes and beside nft.
struct SyncMeasurement {
    static let header = """
        full sync into an empty kernel, 10 endpoints a service; times in ms, medians of \(rounds), x = times the replay
        of the same bytes; nft once each, in s, x = times our sync
          services messages  bytes, MB       plan     layout   messages     kernel   together     replay         x nft, ours         x nft, kube-proxy         x
        """
    private static let rounds = 7

    let services: Int

    /// The parts of one sync, in milliseconds.
    private struct Steps {
        var layout = Figures()
        var messages = Figures()
        var kernel = Figures()
        var together = Figures()
        var replay = Figures()
    }

    func run() async throws {
        let cluster = PlannedCluster(services: services)
        let plans = cluster.all
        var steps = Steps()
        var planning = Figures()
        var batch = NFTablesBatch(family: .ipv4, table: NFTablesNames.sharedMaps)
        let applier = NFTablesApplier()
        for _ in 0..<Self.rounds {
            planning.add(ContinuousClock().measure { cluster.planAll() }.inMilliseconds)
            try Replay.emptyKernel()
            batch = try await sync(cluster, plans, applier, &steps)
            try Replay.emptyKernel()
            let replay = try Replay(batch)
            steps.replay.add(try ContinuousClock().measure { try replay.run() }.inMilliseconds)
        }
        try Replay.emptyKernel()
        let ours = try RuleProgram.nft.load(cluster.sharedMapsText)
        try Replay.emptyKernel()
        let theirs = try RuleProgram.nft.load(cluster.kubeProxyText)
        let together = steps.together.median
        say(
            [
                column(Double(services), 0), column(Double(batch.offsets.count), 0, width: 9),
                column(Double(batch.bytes.count) / 1e6, 1, width: 11), column(planning.median, 1, width: 11),
                column(steps.layout.median, 1, width: 11), column(steps.messages.median, 1, width: 11),
                column(steps.kernel.median, 1, width: 11), column(together, 1, width: 11),
                column(steps.replay.median, 1, width: 11), column(together / steps.replay.median, 2),
                Self.columns(ours, together, width: 10), Self.columns(theirs, together, width: 16),
            ].joined())
    }

    /// From plans to the acknowledgement.
    private func sync(
        _ cluster: PlannedCluster, _ plans: [ServicePlan], _ applier: NFTablesApplier, _ steps: inout Steps
    ) async throws -> NFTablesBatch {
        var table = cluster.emptyTable
        let start = ContinuousClock.now
        table.update(.init(changed: plans))
        let transaction = table.nextTransaction()
        let laidOut = ContinuousClock.now
        guard let transaction else { throw Failure("an empty kernel is said to have everything") }
        let batch = NFTablesBatch(transaction)
        let encoded = ContinuousClock.now
        do throws(NFTablesError) {
            _ = try await applier.commit(batch, after: try await applier.generation())
        } catch {
            throw error.naming(error.place.flatMap { batch.object(ofMessage: $0.message, at: $0.offset) })
        }
        let committed = ContinuousClock.now
        steps.layout.add((laidOut - start).inMilliseconds)
        steps.messages.add((encoded - laidOut).inMilliseconds)
        steps.kernel.add((committed - encoded).inMilliseconds)
        steps.together.add((committed - start).inMilliseconds)
        return batch
    }

    private static func columns(_ time: Duration?, _ together: Double, width: Int) -> String {
        guard let time else {
            let limit = RuleProgram.limit.inMilliseconds
            return column("over \(Int(limit / 1000))", width: width)
                + column("> \(Int(limit / together))", width: 10)
        }
        return column(time.inMilliseconds / 1000, 2, width: width)
            + column(time.inMilliseconds / together, 1, width: 10)
    }
}
