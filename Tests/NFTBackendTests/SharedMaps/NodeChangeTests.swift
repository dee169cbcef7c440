import ProxyCore
import TestSupport
import Testing

@testable import NFTBackend

@Suite("Shared maps of a node that changes")
struct SharedMapsNodeChangeTests {
    private func node(markBit: Int) -> NodePlan {
        var configuration = ProxyConfiguration()
        configuration.nftables.masqueradeBit = markBit
        return NodePlan(
            configuration, mode: .nftables, family: .ipv4, nodeName: "node1", node: nil, facts: HostFacts(of: nil))
    }

    @Test("a chain that falls out of use while the mark becomes another has the new mark when it is used again")
    func unusedChain() throws {
        let cluster = LargeCluster(services: 1, endpointsEach: 2)
        var service = cluster.service(0)
        service.externalIPs = [IPAddress(ipv4: 0xc0a8_6301)]
        let before = node(markBit: 14)
        let after = node(markBit: 15)
        let plans = ServicePlanner.plans(for: service, slices: [cluster.slice(0)], in: before.context)
        var table = SharedMapsTable(node: before, serviceRanges: [])
        var model = TableModel()
        func commit() throws {
            let next = table.nextTransaction()
            try model.commit(try #require(next))
            table.didCommit(at: .now)
        }
        table.update(.init(changed: plans))
        try commit()
        table.update(.init(removed: plans.map(\.name)))
        table.update(after, serviceRanges: [])
        try commit()
        table.update(.init(changed: plans))
        try commit()
        let wanted = table.ruleset().table.chains.first { $0.name == "masq-tcp-2" }
        #expect(model.chains["masq-tcp-2"]?.rules == wanted?.rules)
        #expect(wanted?.rules.first?.statements.first == .setMark(1 << 15))
    }
}
