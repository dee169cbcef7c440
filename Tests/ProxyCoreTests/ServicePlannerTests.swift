import ProxyCore
import TestSupport
import Testing

/// A service of type LoadBalancer with every kind of destination, on `node1`.
private func service(_ change: (inout Service) -> Void = { _ in }) -> Service {
    var service = Service(name: .valid("ns1", "web"))
    service.kind = .loadBalancer
    service.clusterIPs = addresses("172.30.1.1", "fd00:10:96::1")
    service.externalIPs = addresses("192.168.99.11", "2001:db8:99::11")
    service.loadBalancerIPs = addresses("1.2.3.4")
    service.ports = [.init(name: "http", protocol: .tcp, number: 80, nodePort: 31_000)]
    change(&service)
    return service
}

private func addresses(_ texts: String...) -> [IPAddress] { texts.compactMap(IPAddress.init) }

private typealias Conditions = EndpointSlice.Conditions
private let ready: Conditions = [.ready, .serving]
private let serving: Conditions = [.serving, .terminating]
private let unready: Conditions = []

private func slice(
    _ name: String = "a", _ endpoints: (String, node: String, Conditions)..., hints: [String: [String]] = [:],
    nodeHints: [String: [String]] = [:]
) -> EndpointSlice {
    var slice = EndpointSlice(name: .valid("ns1", "web-\(name)"), service: .valid("ns1", "web"), family: .ipv4)
    slice.ports = [.init(name: "http", protocol: .tcp, number: 8080)]
    slice.endpoints = endpoints.compactMap { text, node, conditions in
        IPAddress(text).map {
            .init(
                address: $0, nodeName: node, conditions: conditions, zoneHints: hints[text] ?? [],
                nodeHints: nodeHints[text] ?? [])
        }
    }
    return slice
}

private func plan(
    _ service: Service, _ slices: EndpointSlice..., mode: ProxyMode = .iptables,
    configure: (inout ProxyConfiguration) -> Void = { _ in }
) throws -> ServicePlan {
    var node = Node(name: "node1")
    node.zone = "zone-a"
    node.internalIPs = addresses("192.168.0.2", "2001:db8::2")
    var configuration = ProxyConfiguration()
    configure(&configuration)
    let nodePlan = NodePlan(
        configuration, mode: mode, family: .ipv4, nodeName: "node1", node: node, facts: HostFacts(of: node))
    return try #require(ServicePlanner.plans(for: service, slices: slices, in: nodePlan.context).first)
}

extension ServicePlan {
    fileprivate func pool(_ role: Endpoint.Roles) -> [String] {
        endpoints.filter { $0.roles.contains(role) }.map { "\($0.address)" }
    }
}

@Suite("ServicePlanner")
struct ServicePlannerTests {
    private let local = ("10.180.1.9", node: "node1", ready)
    private let remote = ("10.180.0.9", node: "node2", ready)

    @Test("endpoints are ordered by their text, not by their number")
    func order() throws {
        let endpoints = slice("a", ("10.0.0.9", "", ready), ("10.0.0.10", "", ready), ("10.0.0.1", "", ready))
        #expect(try plan(service(), endpoints).pool(.cluster) == ["10.0.0.10", "10.0.0.1", "10.0.0.9"])
    }

    @Test("endpoints that serve while they terminate are used when none is ready, for each policy apart")
    func terminating() throws {
        let slice = slice(
            "a", ("10.180.0.9", "node2", ready), ("10.180.1.9", "node1", serving), ("10.180.1.8", "node1", unready))
        let local = try plan(service { $0.externalTrafficPolicy = .local }, slice)
        #expect(local.pool(.cluster) == ["10.180.0.9"])
        #expect(local.pool(.local) == ["10.180.1.9"])
        #expect(local.externalTraffic?.verdict == .balance(.local))
    }

    @Test("no endpoint rejects, and none that is local drops, but ipvs does neither")
    func verdicts() throws {
        let internalLocal = service { $0.internalTrafficPolicy = .local }
        for mode in [ProxyMode.iptables, .nftables] {
            #expect(try plan(service(), mode: mode).internalTraffic == .reject)
            #expect(try plan(internalLocal, slice("a", remote), mode: mode).internalTraffic == .drop)
        }
        #expect(try plan(service(), mode: .ipvs).internalTraffic == .balance(.cluster))
        #expect(try plan(internalLocal, slice("a", remote), mode: .ipvs).internalTraffic == .balance(.cluster))
    }

    @Test("policy Local keeps the way of pods and of the node to the cluster's endpoints")
    func shortCircuit() throws {
        let plan = try plan(service { $0.externalTrafficPolicy = .local }, slice("a", remote))
        #expect(plan.externalTraffic?.shortCircuitsLocalSources == true)
        #expect(plan.externalTraffic?.masquerades == false)
        #expect(plan.externalTraffic?.verdict == .drop)
        #expect(plan.pool(.cluster) == ["10.180.0.9"])
    }

    @Test("zone hints are followed only if every ready endpoint has one and one names this zone")
    func zoneHints() throws {
        func pool(_ hints: [String: [String]]) throws -> [String] {
            try plan(service(), slice("a", local, remote, ("10.180.2.9", "node3", unready), hints: hints)).pool(
                .cluster)
        }
        #expect(try pool(["10.180.1.9": ["zone-a"], "10.180.0.9": ["zone-b"]]) == ["10.180.1.9"])
        #expect(try pool(["10.180.1.9": ["zone-a"]]).count == 2)
        #expect(try pool(["10.180.1.9": ["zone-c"], "10.180.0.9": ["zone-b"]]).count == 2)
    }

    @Test("node hints go before zone hints")
    func nodeHints() throws {
        let slice = slice(
            "a", local, remote, hints: ["10.180.1.9": ["zone-b"], "10.180.0.9": ["zone-a"]],
            nodeHints: ["10.180.1.9": ["node1"], "10.180.0.9": ["node2"]])
        #expect(try plan(service(), slice).pool(.cluster) == ["10.180.1.9"])
    }

    @Test("an endpoint in two slices is ready if one says so, and is there once", arguments: [true, false])
    func duplicates(_ readyFirst: Bool) throws {
        let first = slice("a", ("10.180.1.9", "node1", readyFirst ? ready : unready))
        let second = slice("b", ("10.180.1.9", "node1", readyFirst ? unready : ready))
        let plan = try plan(service(), first, second)
        #expect(plan.pool(.cluster) == ["10.180.1.9"])
        #expect(plan.endpointCount == 1)
    }

    @Test(
        "of two slices the one that says nothing of an end is right, in either order",
        arguments: [serving, serving.union(ready)])
    fileprivate func terminatingDuplicate(_ conditions: Conditions) throws {
        let terminating = slice("a", ("10.180.1.9", "node1", conditions))
        for other in [unready, [.serving]] {
            let other = slice("b", ("10.180.1.9", "node1", other))
            #expect(try !plan(service(), terminating, other).hasEndpoints)
            #expect(try !plan(service(), other, terminating).hasEndpoints)
        }
    }

    @Test("within a slice the last entry that does not terminate is right, else the first")
    func duplicatesInSlice() throws {
        func pool(_ conditions: Conditions...) throws -> [String] {
            var slice = slice()
            slice.endpoints = addresses("10.180.1.9").flatMap { address in
                conditions.map { .init(address: address, nodeName: "node1", conditions: $0) }
            }
            return try plan(service(), slice).pool(.cluster)
        }
        #expect(try pool(ready, unready) == [])
        #expect(try pool(unready, ready) == ["10.180.1.9"])
        #expect(try pool(unready, ready, serving) == ["10.180.1.9"])
        #expect(try pool([.terminating], serving) == [])
        #expect(try pool(serving, [.terminating]) == ["10.180.1.9"])

        // What a slice says of it comes before what the slices say together.
        let first = slice("a", ("10.180.1.9", "node1", ready), ("10.180.1.9", "node1", unready))
        let second = slice("b", ("10.180.1.9", "node1", unready))
        #expect(try plan(service(), first, second).pool(.cluster) == [])
        #expect(try plan(service(), second, first).pool(.cluster) == [])
    }

    @Test("hairpin endpoints: all reachable, the reachable local, or every local, by mode")
    func hairpin() throws {
        let slice = slice("a", local, remote, ("10.180.1.8", "node1", unready))
        #expect(try plan(service(), slice, mode: .iptables).pool(.hairpin) == ["10.180.0.9", "10.180.1.9"])
        #expect(try plan(service(), slice, mode: .nftables).pool(.hairpin) == ["10.180.1.9"])
        #expect(try plan(service(), slice, mode: .ipvs).pool(.hairpin) == ["10.180.1.8", "10.180.1.9"])
    }

    @Test("source ranges: of the family, none if one is everything, and the node's own address is looked up in them")
    func sourceRanges() throws {
        func ranges(_ texts: [String], mode: ProxyMode = .iptables, _ slices: EndpointSlice...) throws -> ServicePlan
            .SourceRanges?
        {
            let service = service { $0.loadBalancerSourceRanges = texts.compactMap(CIDR.init) }
            return try (slices.isEmpty ? plan(service, mode: mode) : plan(service, slices[0], mode: mode)).sourceRanges
        }
        let endpoints = slice("a", local)
        #expect(try ranges(["203.0.113.0/25", "2001:db8::/64"], endpoints)?.cidrs.count == 1)
        #expect(try ranges(["203.0.113.0/25"], endpoints)?.admitNode == false)
        #expect(try ranges(["192.168.0.0/24"], endpoints)?.admitNode == true)
        #expect(try ranges(["203.0.113.0/25", "0.0.0.0/0"], endpoints) == nil)
        #expect(try ranges(["2001:db8::/64"], endpoints) == nil)
        #expect(try ranges(["203.0.113.0/25"]) == nil)
        #expect(try ranges(["203.0.113.0/25"], mode: .nftables)?.cidrs.count == 1)
    }

    @Test("masquerade inside the cluster: nobody, all but pods, or everybody")
    func masquerade() throws {
        #expect(try plan(service()).internalMasquerade == .nobody)
        #expect(
            try plan(service(), configure: { $0.clusterCIDRs = ["10.180.0.0/16"].compactMap(CIDR.init) })
                .internalMasquerade
                == .notLocal)
        #expect(try plan(service(), configure: { $0.iptables.masqueradeAll = true }).internalMasquerade == .everybody)
        #expect(
            try plan(service(), mode: .ipvs, configure: { $0.iptables.masqueradeAll = true }).internalMasquerade
                == .everybody)
        #expect(
            try plan(service(), mode: .nftables, configure: { $0.iptables.masqueradeAll = true }).internalMasquerade
                == .nobody)
    }

    @Test("external IPs are ignored if their feature gate is off")
    func externalIPs() throws {
        #expect(try plan(service()).externalIPs == addresses("192.168.99.11"))
        #expect(
            try plan(service(), configure: { $0.featureGates["AllowServiceExternalIPs"] = false }).externalIPs.isEmpty)
    }

    @Test("services that are not proxied have no plans")
    func notProxied() {
        let node = NodePlan(
            ProxyConfiguration(), mode: .iptables, family: .ipv4, nodeName: "node1", node: nil,
            facts: HostFacts(of: nil))
        for change: (inout Service) -> Void in [
            { $0.kind = .externalName }, { $0.clusterIPs = [] }, { $0.isForAnotherProxy = true },
            { $0.clusterIPs = addresses("fd00:10:96::1") },
        ] {
            #expect(ServicePlanner.plans(for: service(change), slices: [], in: node.context).isEmpty)
        }
    }
}
