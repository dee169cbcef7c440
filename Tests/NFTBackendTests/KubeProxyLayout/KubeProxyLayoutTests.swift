import NFTBackend
import ProxyCore
import Testing

@Suite("Layout of kube-proxy beyond the golden clusters")
struct KubeProxyLayoutTests {
    private let node = NodePlan(
        ProxyConfiguration(), mode: .nftables, family: .ipv4, nodeName: "node1", node: nil, facts: HostFacts(of: nil))
    private let external = IPAddress(ipv4: 0x0102_0304)

    /// The plan of a service with one port and an external IP that all share.
    private func plans(_ name: String, clusterIP: UInt32, hasEndpoints: Bool) throws -> [ServicePlan] {
        var service = Service(name: try #require(ObjectName(namespace: "ns", name: name)))
        service.clusterIPs = [IPAddress(ipv4: clusterIP)]
        service.externalIPs = [external]
        service.ports = [Service.Port(name: "", protocol: .tcp, number: 80)]
        var slice = EndpointSlice(
            name: try #require(ObjectName(namespace: "ns", name: "\(name)-a")), service: service.name, family: .ipv4)
        slice.ports = [EndpointSlice.Port(name: "", protocol: .tcp, number: 8080)]
        if hasEndpoints { slice.endpoints = [EndpointSlice.Endpoint(address: IPAddress(ipv4: clusterIP + 256))] }
        return ServicePlanner.plans(for: service, slices: [slice], in: node.context)
    }

    private func elements(of set: String, at address: IPAddress, _ plans: [ServicePlan]) -> [NFTElement] {
        KubeProxyLayout.ruleset(node: node, plans: plans, serviceRanges: []).elements.filter {
            $0.set == set && $0.key.first == .address(address)
        }
    }

    @Test("gives an address and port that two services claim to the later by name")
    func rivals() throws {
        let both =
            try plans("b", clusterIP: 0x0a00_0002, hasEndpoints: true)
            + plans("a", clusterIP: 0x0a00_0001, hasEndpoints: true)
        let found = elements(of: "service-ips", at: external, both)
        #expect(found.count == 1)
        guard case .verdict(.goto(let chain)) = try #require(found.first).datum else {
            Issue.record("no verdict: \(found)")
            return
        }
        #expect(chain.hasPrefix("external-") && chain.hasSuffix("-ns/b/tcp/"))
    }

    @Test("writes what two services say alike once, with the comment of the first")
    func alike() throws {
        let both =
            try plans("b", clusterIP: 0x0a00_0002, hasEndpoints: false)
            + plans("a", clusterIP: 0x0a00_0001, hasEndpoints: false)
        #expect(elements(of: "no-endpoint-services", at: external, both).map(\.comment) == ["ns/a"])
    }

    @Test("cuts names to what the kernel takes and keeps them apart")
    func longNames() throws {
        let long = String(repeating: "x", count: 250)
        let table = try KubeProxyLayout.ruleset(
            node: node,
            plans: plans(long + "1", clusterIP: 0x0a00_0001, hasEndpoints: true)
                + plans(long + "2", clusterIP: 0x0a00_0002, hasEndpoints: true),
            serviceRanges: []
        ).table
        let names = table.chains.map(\.name).filter { $0.hasPrefix("service-") && $0.contains("xxx") }
        #expect(Set(names).count == 2)
        for name in names {
            #expect(name.utf8.count == "service-".utf8.count + 240)
            #expect(name.hasSuffix("xxx..."))
        }
    }

    @Test("writes pods' ranges of one address as ranges, and the one address of loopback as such")
    func rangesOfOne() throws {
        for (family, range) in [(IPFamily.ipv4, "10.180.1.1/32"), (.ipv6, "fd00:10:180::1/128")] {
            var configuration = ProxyConfiguration()
            configuration.clusterCIDRs = [try #require(CIDR(range))]
            let node = NodePlan(
                configuration, mode: .nftables, family: family, nodeName: "node1", node: nil,
                facts: HostFacts(of: nil))
            let table = KubeProxyLayout.ruleset(node: node, plans: [], serviceRanges: []).table
            var writer = NFTTextWriter()
            writer.write(table, elements: [])
            let text = String(decoding: writer.text, as: UTF8.self)
            #expect(text.contains("saddr != \(range) "))
            #expect(text.contains(family == .ipv4 ? "daddr != 127.0.0.0/8" : "daddr != ::1 "))
        }
    }

    @Test("drops what goes to any range of the family, in the order of their texts and each once")
    func ranges() throws {
        let ranges = try ["172.30.0.0/16", "fd00::/112", "10.96.0.0/12", "172.30.0.0/16"].map {
            try #require(CIDR($0))
        }
        let table = KubeProxyLayout.ruleset(node: node, plans: [], serviceRanges: ranges).table
        let chain = try #require(table.chains.first { $0.name == "cluster-ips-check" })
        #expect(
            chain.rules.last?.statements
                == [.matchAddresses(.destinationAddress, [ranges[2], ranges[0]]), .verdict(.drop)])
    }
}
