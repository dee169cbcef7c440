import NFTBackend
import ProxyCore
import TestSupport
import Testing

@testable import SyncLoop

@Suite("Killed while committing in nftables mode", .kernel())
struct KilledCommitTests {
    private static let kills = 20
    private static let services = 10_000

    /// Everything, with the endpoints of one generation.
    private func table(generation: Int) -> SharedMapsTable {
        let cluster = LargeCluster(services: Self.services, endpointsEach: 1)
        var state = ClusterState()
        for number in 0..<cluster.services {
            state.apply(.service(cluster.service(number)))
            state.apply(.endpointSlice(cluster.slice(number, generation: generation)))
        }
        let node = NodePlan(
            ProxyConfiguration(), mode: .nftables, family: .ipv4, nodeName: "node1", node: nil,
            facts: HostFacts(of: nil))
        var table = SharedMapsTable(node: node, serviceRanges: [])
        var plans = PlanTable()
        table.update(plans.updateAll(from: state, in: node.context))
        return table
    }

    private func contents(_ reader: NFTablesPeer) async throws -> TableContents {
        let listing = try #require(try await reader.read(.ipv4, table: NFTablesNames.sharedMaps))
        return TableContents(NFTKernelTable(.ipv4, table: NFTablesNames.sharedMaps, messages: listing.messages))
    }

    @Test("a process that writes 10,000 services again and again leaves them as they were or as they are to be")
    func killed() async throws {
        let namespace = try Namespace()
        let batches = [0, 1].map { NFTablesBatch(table(generation: $0).fullTransaction()) }
        let reader = try NFTablesPeer(in: namespace)
        var wanted: [TableContents] = []
        var duration = Duration.zero
        for batch in batches {
            let start = ContinuousClock.now
            try await reader.commit(batch)
            duration = .now - start
            wanted.append(try await contents(reader))
        }
        var random = SystemRandomNumberGenerator()
        var seen = [0, 0]
        var kill = 0
        // More only where chance has shown one of the two alone.
        while kill < Self.kills || (seen.contains(0) && kill < 5 * Self.kills) {
            kill += 1
            let writer = try NFTablesPeer(in: namespace)
            try await writer.alternate(batches[kill % 2], batches[1 - kill % 2])
            // Up to two commits or so.
            try await Task.sleep(for: duration * Double.random(in: 0...2, using: &random))
            writer.stop()
            let found = try await contents(reader)
            let index = wanted.firstIndex(of: found)
            seen[try #require(index, "kill \(kill): neither the one nor the other")] += 1
        }
        print("nftables, killed while committing: \(seen[0]) tables of the one, \(seen[1]) of the other")
        #expect(!seen.contains(0))
    }
}
