import ProxyCore
import TestSupport
import Testing

let pod = "10.180.1.200"
let node = "192.168.0.2"
let client = "203.0.113.5"
let stranger = "203.0.113.200"
let loopback = "127.0.0.1"

let clusterIP = "172.30.1.1"
let externalIP = "192.168.99.11"
let loadBalancerIP = "1.2.3.4"

/// One service with every kind of destination, and its endpoints: .9 on this node, the others elsewhere.
struct WalkedCluster {
    var endpoints = ["10.180.1.9": "node1", "10.180.0.9": "node2", "10.180.2.9": "node3"]
    var service: Service = {
        var service = Service(name: .valid("ns1", "web"))
        service.kind = .loadBalancer
        service.clusterIPs = [clusterIP].compactMap(IPAddress.init)
        service.externalIPs = [externalIP].compactMap(IPAddress.init)
        service.loadBalancerIPs = [loadBalancerIP].compactMap(IPAddress.init)
        service.ports = [.init(name: "http", protocol: .tcp, number: 80, nodePort: 31_000)]
        return service
    }()
    var mode = ProxyMode.iptables
    var configuration: ProxyConfiguration = {
        var configuration = ProxyConfiguration()
        configuration.clusterCIDRs = ["10.180.0.0/16"].compactMap { CIDR($0) }
        return configuration
    }()

    func fate(_ source: String, _ destination: String, _ port: UInt16, order: WalkOrder = .host) throws -> PacketFate {
        var slice = EndpointSlice(name: .valid("ns1", "web-a"), service: .valid("ns1", "web"), family: .ipv4)
        slice.ports = [.init(name: "http", protocol: .tcp, number: 8080)]
        slice.endpoints = try endpoints.map { address, node in
            .init(address: try #require(IPAddress(address)), nodeName: node)
        }
        var object = Node(name: "node1")
        object.internalIPs = [node].compactMap(IPAddress.init)
        let facts = HostFacts(of: object)
        let plan = NodePlan(
            configuration, mode: mode, family: .ipv4, nodeName: "node1", node: object, facts: facts)
        let plans = ServicePlanner.plans(for: service, slices: [slice], in: plan.context)
        let walk = PlanWalk(
            node: plan, plans: plans, local: LocalAddresses(facts.addresses),
            serviceRanges: ["172.30.0.0/16"].compactMap { CIDR($0) })
        let packet = Packet(
            from: try #require(IPAddress(source)), to: try #require(IPAddress(destination)), port: port, protocol: .tcp)
        return walk.fate(of: try #require(packet), order: order)
    }

    func end(_ source: String, _ destination: String, _ port: UInt16, order: WalkOrder = .host) throws -> String {
        let fate = try fate(source, destination, port, order: order)
        return fate.masquerades ? "\(fate.outcome) masqueraded" : fate.outcome
    }
}

let all = "10.180.0.9:8080,10.180.1.9:8080,10.180.2.9:8080"
let here = "10.180.1.9:8080"

/// Where a client's packet ends at an address that two services have: `a` with policy Local and no endpoint here, and
/// `b`. Their endpoints have the ports 1 and 2.
///
/// - Parameter admitting: the one whose source ranges have the client; without it neither has any.
func outcomeOfTwo(
    _ mode: ProxyMode, _ destination: String, local: String = "a", without empty: String = "",
    admitting: String? = nil
) throws -> String {
    var table = PlanTable()
    var state = ClusterState()
    var object = Node(name: "node1")
    object.internalIPs = [node].compactMap(IPAddress.init)
    let plan = NodePlan(
        ProxyConfiguration(), mode: mode, family: .ipv4, nodeName: "node1", node: object, facts: HostFacts(of: object))
    for (name, port) in [("a", UInt16(1)), ("b", 2)] {
        var service = WalkedCluster().service
        service.name = .valid("ns1", name)
        service.externalTrafficPolicy = name == local ? .local : .cluster
        if let admitting {
            let range = name == admitting ? "203.0.113.0/25" : "198.51.100.0/24"
            service.loadBalancerSourceRanges = [range].compactMap { CIDR($0) }
        }
        var slice = EndpointSlice(name: .valid("ns1", "\(name)-1"), service: service.name, family: .ipv4)
        slice.ports = [.init(name: "http", protocol: .tcp, number: port)]
        slice.endpoints = [.init(address: try #require(IPAddress("10.180.0.9")), nodeName: "node2")]
        state.apply(.service(service))
        if name != empty { state.apply(.endpointSlice(slice)) }
    }
    _ = table.updateAll(from: state, in: plan.context)
    let walk = PlanWalk(
        node: plan, plans: table.all, local: LocalAddresses(HostFacts(of: object).addresses), serviceRanges: [])
    let packet = Packet(
        from: try #require(IPAddress(client)), to: try #require(IPAddress(destination)), port: 80, protocol: .tcp)
    return walk.fate(of: try #require(packet), order: .host).outcome
}
