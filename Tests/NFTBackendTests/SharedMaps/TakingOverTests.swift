import ProxyCore
import TestSupport
import Testing

@testable import NFTBackend

/// A run of the daemon with one service that has affinity.
private struct Run {
    var table: SharedMapsTable

    /// - Parameter endpoints: the last bytes of their addresses.
    init(_ family: IPFamily, endpoints: [UInt8], services: [String] = ["cart"]) {
        let node = NodePlan(
            ProxyConfiguration(), mode: .nftables, family: family, nodeName: "node1", node: nil,
            facts: HostFacts(of: nil))
        table = SharedMapsTable(node: node, serviceRanges: [])
        for (number, name) in services.enumerated() {
            var service = Service(name: .valid("ns", name))
            service.clusterIPs = [Self.address(family, 0, UInt8(number))]
            service.affinitySeconds = 600
            service.ports = [.init(name: "", protocol: .tcp, number: 80)]
            var slice = EndpointSlice(name: .valid("ns", name), service: service.name, family: family)
            slice.ports = [.init(name: "", protocol: .tcp, number: 8080)]
            slice.endpoints = endpoints.map { .init(address: Self.address(family, 1, $0)) }
            table.update(.init(changed: ServicePlanner.plans(for: service, slices: [slice], in: node.context)))
        }
    }

    static func address(_ family: IPFamily, _ part: UInt8, _ last: UInt8) -> IPAddress {
        family == .ipv4
            ? IPAddress(ipv4: 0x0a00_0000 | UInt32(part) << 8 | UInt32(last))
            : IPAddress(high: 0xfd00 << 48, low: UInt64(part) << 16 | UInt64(last))
    }

    var service: AffinityID? { table.entries.values.first?.ids?.service }

    func id(_ endpoint: UInt8) -> AffinityID? {
        guard let entry = table.entries.values.first, let ids = entry.ids else { return nil }
        return zip(entry.plan.endpoints, ids.endpoints).first {
            $0.0.address == Self.address(entry.plan.family, 1, endpoint)
        }?.1
    }

    /// The table as the kernel has it when a client was sent to the endpoint that has an id.
    func found(client: IPAddress, remembers id: AffinityID) throws -> NFTKernelTable {
        var found = table.kernelTable()
        let service = try #require(service)
        let record = NFTElement(
            set: SharedMapsName.affinity, key: [.address(client), .address(service.address(client.family))],
            datum: .values([.address(id.address(client.family))]))
        let compiled = NFTKernelTable(compiling: table.ruleset().table, elements: [record])
        let index = try #require(found.sets.firstIndex { $0.name == SharedMapsName.affinity })
        found.sets[index].elements = try #require(compiled.sets.first { $0.name == SharedMapsName.affinity }).elements
        #expect(found.sets[index].elements.count == 1)
        return found
    }
}

@Suite("Taking over what an earlier run has left")
struct TakingOverTests {
    @Test(
        "endpoints keep their ids, and none has one that a client may still be remembered with",
        arguments: IPFamily.allCases)
    func ids(_ family: IPFamily) throws {
        let before = Run(family, endpoints: [1, 2, 3])
        let gone = try #require(before.id(3))
        // The earlier run has seen the third endpoint go: only what a client is remembered with still has its id.
        var later = Run(family, endpoints: [1, 2])
        later.table.takeOver(before.table.kernelTable())
        #expect(later.id(2) == before.id(2))
        let found = try later.found(client: Run.address(family, 2, 1), remembers: gone)

        var after = Run(family, endpoints: [1, 2, 4])
        after.table.takeOver(found)
        #expect(after.service == before.service)
        #expect(after.id(1) == before.id(1))
        #expect(after.id(2) == before.id(2))
        let new = try #require(after.id(4))
        #expect(new != gone)
        #expect(Set([after.id(1), after.id(2), new]).count == 3)
        let next = after.table.nextTransaction()
        let transaction = try #require(next)
        #expect(!transaction.changes.contains(.deleteTable(name: "switchyard")))
        #expect(!transaction.changes.contains(.deleteSet("affinity")))
    }

    @Test("two services that a table has given the same ids to are told apart")
    func sharedIDs() throws {
        var before = Run(.ipv4, endpoints: [1, 2], services: ["a", "b"])
        let names = before.table.entries.keys.sorted()
        let second = try #require(before.table.entries[names[1]])
        before.table.entries[names[1]] = ServiceEntry(
            plan: second.plan, ids: try #require(before.table.entries[names[0]]?.ids))
        var after = Run(.ipv4, endpoints: [1, 2], services: ["a", "b"])
        after.table.takeOver(before.table.kernelTable())
        let ids = after.table.entries.values.compactMap(\.ids)
        #expect(Set(ids.map(\.service)).count == 2)
        #expect(Set(ids.flatMap(\.endpoints)).count == 4)
    }

    @Test("a table without a free id is replaced, and its clients are forgotten")
    func exhausted() throws {
        let before = Run(.ipv4, endpoints: [1])
        let last = AffinityID(number: AffinityID.firstService - 1)
        let found = try before.found(client: Run.address(.ipv4, 2, 1), remembers: last)
        var after = Run(.ipv4, endpoints: [1, 2])
        after.table.takeOver(found)
        #expect(after.id(1) == AffinityID(number: 1))
        #expect(after.id(2) == AffinityID(number: 2))
        let next = after.table.nextTransaction()
        let transaction = try #require(next)
        #expect(transaction.changes.contains(.deleteTable(name: "switchyard")))
    }
}
