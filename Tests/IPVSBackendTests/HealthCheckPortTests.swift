import IPVSBackend
import ProxyCore
import TestSupport
import Testing

@Suite("Health check ports of ipvs mode")
struct HealthCheckPortTests {
    private func entries(nodePort: UInt16, nodeAddresses: [IPAddress]) -> [IPSetEntry] {
        var node = Node(name: "node1")
        node.internalIPs = nodeAddresses
        let facts = HostFacts(of: node)
        let plan = NodePlan(
            ProxyConfiguration(), mode: .ipvs, family: .ipv4, nodeName: "node1", node: node, facts: facts)
        var table = IPVSTable(IPVSSettings(plan, ProxyConfiguration().ipvs, facts: facts))
        var service = Service(name: .valid("ns1", "web"))
        service.kind = .loadBalancer
        service.clusterIPs = [IPAddress(ipv4: 0xac1e_0101)]
        service.loadBalancerIPs = [IPAddress(ipv4: 0x0102_0304)]
        service.externalTrafficPolicy = .local
        service.healthCheckNodePort = 31999
        service.ports = [.init(name: "", protocol: .tcp, number: 80, nodePort: nodePort)]
        table.update(.init(changed: ServicePlanner.plans(for: service, slices: [], in: plan.context)))
        return Array(table.entries(.healthCheckNodePorts))
    }

    @Test("are open where node ports are, and without node ports anywhere")
    func open() {
        let node = IPAddress(ipv4: 0xc0a8_0002)
        #expect(entries(nodePort: 31000, nodeAddresses: [node]) == [.port(31999)])
        #expect(entries(nodePort: 0, nodeAddresses: [node]) == [.port(31999)])
        #expect(entries(nodePort: 0, nodeAddresses: []) == [.port(31999)])
        #expect(entries(nodePort: 31000, nodeAddresses: []).isEmpty)
    }
}
