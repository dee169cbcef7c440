import NFTBackend
import ProxyCore
import TestSupport
import Testing

@testable import SyncLoop

@Suite("The table of nftables mode from sync to sync")
struct NFTablesRendererTests {
    private let node = NodePlan(
        ProxyConfiguration(), mode: .nftables, family: .ipv4, nodeName: "node1", node: nil, facts: HostFacts(of: nil))

    /// NFT_MSG_DELTABLE for our own table among the messages of a batch.
    private func deletesTable(_ batch: NFTablesBatch) -> Bool {
        zip(batch.offsets, batch.offsets.dropFirst() + [batch.bytes.count]).contains { start, end in
            batch.bytes[start + 4] == 2 && Array(batch.bytes[start..<end]).contains("switchyard\0")
        }
    }

    private func renderer() -> NFTablesRenderer {
        var service = Service(name: .valid("ns", "cart"))
        service.clusterIPs = [IPAddress(ipv4: 0x0a60_0001)]
        service.affinitySeconds = 600
        service.ports = [.init(name: "", protocol: .udp, number: 80)]
        var state = ClusterState()
        state.apply(.service(service))
        state.apply(udpEndpoints("cart", ["10.180.0.1", "10.180.0.2"]))
        var renderer = NFTablesRenderer(node: node, options: .init())
        renderer.update(node, HostFacts(of: nil), from: state)
        renderer.update([service.name], from: state)
        return renderer
    }

    @Test("what clients are remembered for outlives a commit that failed")
    func keepsAffinity() throws {
        var renderer = renderer()
        let first = try #require(renderer.nextBatches().first)
        #expect(deletesTable(first))
        renderer.didCommit(without: [])
        let audit = renderer.audit()
        var found = try #require(audit).kernelTable()
        let affinity = try #require(found.sets.firstIndex { $0.name == "affinity" })
        let client = NFTKernelTable.Element(key: [10, 0, 0, 1, 0, 128, 0, 1], datum: .bytes([0, 0, 0, 1]))
        found.sets[affinity].elements = [client]

        renderer.didFail()
        renderer.takeOver(found)
        let second = try #require(renderer.nextBatches().first)
        #expect(!deletesTable(second))

        // Something stands in the way of that: the table goes as a whole.
        renderer.didFail()
        renderer.takeOver(found)
        let third = try #require(renderer.nextBatches().first)
        #expect(deletesTable(third))
        renderer.didCommit(without: [])

        renderer.didFail()
        renderer.takeOver(found)
        let fourth = try #require(renderer.nextBatches().first)
        #expect(!deletesTable(fourth))
        renderer.didCommit(without: [])

        // Where no client is remembered there is nothing to keep.
        found.sets[affinity].elements = []
        renderer.didFail()
        renderer.takeOver(found)
        let fifth = try #require(renderer.nextBatches().first)
        #expect(deletesTable(fifth))
    }
}

extension [UInt8] {
    fileprivate func contains(_ text: String) -> Bool {
        let wanted = Array(text.utf8)
        return indices.contains { self[$0...].starts(with: wanted) }
    }
}
