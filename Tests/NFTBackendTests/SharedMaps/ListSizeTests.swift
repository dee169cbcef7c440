import ProxyCore
import TestSupport
import Testing

@testable import NFTBackend

@Suite("Sizes of lists, and kinds")
struct ListSizeTests {
    @Test("every length has a size that holds it and is at most a sixteenth longer, and few sizes exist")
    func bounds() throws {
        var shortest: [UInt32: Int] = [:]
        for count in 1...ListSize.limit {
            let size = try #require(ListSize(count: count))
            if shortest[size.drawn] == nil { shortest[size.drawn] = count }
            guard
                size.drawn < count || Int(size.certain) != shortest[size.drawn]
                    || (size.drawn - UInt32(count)) * 16 > count
                    || (count <= 64 && !size.isExact)
            else { continue }
            Issue.record("\(count): \(size)")
        }
        #expect(shortest.count == 224)
        #expect(ListSize(count: 0) == nil)
        #expect(ListSize(count: ListSize.limit + 1) == ListSize(count: ListSize.limit))
    }

    @Test(
        "every endpoint is drawn as often as any other, within a thousandth",
        arguments: [1, 3, 64, 65, 66, 100, 129, 1000, 1025, 40_000, 65_536])
    func chances(_ count: Int) throws {
        var chances = [Double](repeating: 0, count: count)
        var stillToDraw = 1.0
        for modulus in try #require(ListSize(count: count)).draws.map(Int.init) {
            for index in 0..<min(modulus, count) { chances[index] += stillToDraw / Double(modulus) }
            stillToDraw *= 1 - Double(min(modulus, count)) / Double(modulus)
        }
        #expect(abs(stillToDraw) < 1e-12)
        let each = 1 / Double(count)
        #expect(chances.allSatisfy { abs($0 - each) < each / 1000 })
    }

    @Test("timeouts are never shorter than asked for, at most a tenth longer, and few exist")
    func timeouts() {
        var known: Set<Int> = []
        for asked in 1...AffinityTimeout.longest {
            let given = AffinityTimeout(seconds: asked).seconds
            known.insert(given)
            if given < asked || (given - asked) * 10 > asked { Issue.record("\(asked): \(given)") }
        }
        #expect(known.count == 926)
        #expect(AffinityTimeout(seconds: .max).seconds == AffinityTimeout.longest)
        #expect(AffinityTimeout(seconds: .min).seconds == 1)
    }

    @Test("more services of the same kind make no more chains and sets")
    func kinds() {
        func table(_ services: Int) -> NFTTable {
            let cluster = LargeCluster(services: services, endpointsEach: 4)
            var state = ClusterState()
            for change in cluster.changes { state.apply(change) }
            let node = NodePlan(
                ProxyConfiguration(), mode: .nftables, family: .ipv4, nodeName: "node1", node: Node(name: "node1"),
                facts: HostFacts(of: Node(name: "node1")))
            var plans = PlanTable()
            var table = SharedMapsTable(node: node, serviceRanges: [])
            table.update(plans.updateAll(from: state, in: node.context))
            #expect(table.servicePortCount == services)
            return table.ruleset().table
        }
        #expect(table(300) == table(1))
    }
}
