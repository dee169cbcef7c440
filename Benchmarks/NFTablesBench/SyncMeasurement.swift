import BatchApplier
import BenchSupport
import NFTBackend
import ProxyCore

/// Everything into a kernel without our table, beside a replay of the same bytes and beside nft.
struct SyncMeasurement {
    static let header = """
        full sync into an empty kernel, 10 endpoints a service; times in ms, medians of \(rounds), x = times the replay of
        the same bytes; "processor" is what of it was processor time
          services messages  bytes, MB     plan   layout messages   kernel together  processor    replay  processor        x  processor
        """
    static let programHeader = """
        the same by nft, once each; in s, x = times our sync of the same run, in processor time
          services   our sync  processor    nft, our layout  processor         x   nft, kube-proxy  processor         x
        """
    private static let rounds = 7

    let services: Int

    /// The parts of one sync, in milliseconds.
    private struct Steps {
        var plan = Figures()
        var layout = Figures()
        var messages = Figures()
        var kernel = Figures()
        var together = Figures()
        var processor = Figures()
        var replay = Figures()
        var replayProcessor = Figures()
    }

    func run() async throws {
        let cluster = PlannedCluster(services: services)
        let plans = cluster.all
        var steps = Steps()
        var batch = NFTablesBatch(family: .ipv4, table: NFTablesNames.sharedMaps)
        let applier = NFTablesApplier()
        for _ in 0..<Self.rounds {
            steps.plan.add(ContinuousClock().measure { cluster.planAll() }.inMilliseconds)
            try Replay.emptyKernel()
            batch = try await sync(cluster, plans, applier, &steps)
            try Replay.emptyKernel()
            let replay = try Replay(batch)
            let processor = processorMilliseconds()
            steps.replay.add(try ContinuousClock().measure { try replay.run() }.inMilliseconds)
            steps.replayProcessor.add(processorMilliseconds() - processor)
        }
        let (together, replay) = (steps.together.median, steps.replay.median)
        let (processor, replayProcessor) = (steps.processor.median, steps.replayProcessor.median)
        say(
            [
                column(Double(services), 0), column(Double(batch.offsets.count), 0, width: 9),
                column(Double(batch.bytes.count) / 1e6, 1, width: 11),
                [steps.plan, steps.layout, steps.messages, steps.kernel, steps.together].map {
                    column($0.median, 1, width: 9)
                }.joined(),
                column(processor, 1, width: 11), column(replay, 1), column(replayProcessor, 1, width: 11),
                column(together / replay, 2, width: 9), column(processor / replayProcessor, 2, width: 11),
            ].joined())
    }

    /// Loads both layouts by nft, beside our sync.
    func runPrograms() async throws {
        let cluster = PlannedCluster(services: services)
        var steps = Steps()
        let applier = NFTablesApplier()
        for _ in 0..<Self.rounds {
            try Replay.emptyKernel()
            _ = try await sync(cluster, cluster.all, applier, &steps)
        }
        let processor = steps.processor.median
        var words = column(Double(services), 0)
        words += column(steps.together.median / 1000, 3, width: 11) + column(processor / 1000, 3, width: 11)
        for text in [cluster.sharedMapsText, cluster.kubeProxyText] {
            try Replay.emptyKernel()
            if let load = try RuleProgram.nft.load(text) {
                words += column(load.time / 1000, 2, width: 19) + column(load.processor / 1000, 2, width: 11)
                words += column(load.processor / processor, 1)
            } else {
                words += column("over \(Int(RuleProgram.limit.inMilliseconds / 1000))", width: 19)
            }
        }
        say(words)
    }

    /// From plans to the acknowledgement.
    private func sync(
        _ cluster: PlannedCluster, _ plans: [ServicePlan], _ applier: NFTablesApplier, _ steps: inout Steps
    ) async throws -> NFTablesBatch {
        var table = cluster.emptyTable
        let processor = processorMilliseconds()
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
        steps.processor.add(processorMilliseconds() - processor)
        steps.layout.add((laidOut - start).inMilliseconds)
        steps.messages.add((encoded - laidOut).inMilliseconds)
        steps.kernel.add((committed - encoded).inMilliseconds)
        steps.together.add((committed - start).inMilliseconds)
        return batch
    }
}
