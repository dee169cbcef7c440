import ProxyCore
import TestSupport
import Testing

@testable import NFTBackend

/// A service with affinity whose endpoints change.
private struct AffinityCluster {
    private var state = ClusterState()
    private var plans = PlanTable()
    private let node = NodePlan(
        ProxyConfiguration(), mode: .nftables, family: .ipv4, nodeName: "node1", node: Node(name: "node1"),
        facts: HostFacts(of: Node(name: "node1")))
    var table: SharedMapsTable

    init() {
        table = SharedMapsTable(node: node, serviceRanges: [])
        var service = RandomObjects.floodService
        service.affinitySeconds = 600
        state.apply(.service(service))
    }

    /// The last bytes of the endpoints' addresses.
    mutating func setEndpoints(_ numbers: [UInt8]) {
        var slice = RandomObjects.floodSlice(0)
        slice.endpoints = numbers.map { .init(address: IPAddress(ipv4: 0x0b00_0000 + UInt32($0))) }
        state.apply(.endpointSlice(slice))
        table.update(plans.update(state.takeTouched(), from: state, in: node.context))
    }

    mutating func commit(at time: ContinuousClock.Instant) {
        if table.nextTransaction() != nil { table.didCommit(at: time) }
    }

    /// The ids by endpoint, and that of the service under 0.
    var ids: [UInt8: AffinityID] {
        var ids: [UInt8: AffinityID] = [:]
        for entry in table.entries.values {
            guard let own = entry.ids else { continue }
            ids[0] = own.service
            for (endpoint, id) in zip(entry.plan.endpoints, own.endpoints) {
                ids[UInt8(truncatingIfNeeded: endpoint.address.ipv4Bits)] = id
            }
        }
        return ids
    }
}

@Suite("Ids of affinity")
struct AffinityIDTests {
    @Test("an endpoint keeps its id when its place changes, and has another when it comes back")
    func keeping() {
        var cluster = AffinityCluster()
        let start = ContinuousClock.now
        cluster.setEndpoints([1, 2, 3])
        cluster.commit(at: start)
        let first = cluster.ids
        #expect(Set(first.values).count == 4)
        cluster.setEndpoints([3, 2])
        cluster.commit(at: start + .seconds(1))
        #expect(cluster.ids == first.filter { $0.key != 1 })
        cluster.setEndpoints([1, 2, 3, 4])
        let later = cluster.ids
        for number in [UInt8(0), 2, 3] { #expect(later[number] == first[number]) }
        #expect(later.count == 5 && Set(later.values).count == 5)
        #expect(later[1] != first[1] && later[4] != first[1])
    }

    @Test("an id is given to another endpoint only when clients have forgotten it for longer than a day")
    func again() {
        for (hours, isFree) in [(23, false), (25, true)] {
            var cluster = AffinityCluster()
            let start = ContinuousClock.now
            cluster.setEndpoints([1, 2])
            cluster.commit(at: start)
            let first = cluster.ids[1]
            cluster.setEndpoints([2])
            cluster.commit(at: start)
            cluster.setEndpoints([2, 3])
            #expect(cluster.ids[3] != first)
            cluster.commit(at: start + .seconds(hours * 3600))
            cluster.setEndpoints([2, 3, 4])
            #expect((cluster.ids[4] == first) == isFree)
        }
    }

    @Test("a table of an earlier run hands its ids on, and new endpoints have others")
    func adopting() {
        var earlier = AffinityCluster()
        earlier.setEndpoints([1])
        earlier.setEndpoints([1, 2, 3])
        earlier.setEndpoints([3, 1])
        let known = earlier.ids
        var later = AffinityCluster()
        later.setEndpoints([1, 3, 9])
        #expect(later.ids[3] != known[3])
        later.table.adoptIDs(from: earlier.table.kernelTable())
        for number in [UInt8(0), 1, 3] { #expect(later.ids[number] == known[number]) }
        #expect(later.ids.count == 4 && Set(later.ids.values).count == 4)
    }
}
