import TestSupport
import Testing

@testable import ProxyCore

/// A cluster whose flows are judged, with objects written as short texts.
struct FlowLab {
    var state = ClusterState()
    var claims: FlowClaims
    var nodeAddresses: Set<IPAddress>
    private var context: PlanContext

    init(_ family: IPFamily = .ipv4) {
        var node = Node(name: "node1")
        node.internalIPs = ["192.0.2.1", "2001:db8::1"].compactMap(IPAddress.init)
        let plan = NodePlan(
            ProxyConfiguration(), mode: .iptables, family: family, nodeName: "node1", node: node,
            facts: HostFacts(of: node))
        context = plan.context
        nodeAddresses = plan.nodePortAddresses(among: HostFacts(of: node).addresses)
        claims = FlowClaims(family: family)
    }

    /// A lab whose first full pass is over.
    init(settled services: Service..., slices: [EndpointSlice] = []) {
        self.init()
        for service in services { state.apply(.service(service)) }
        for slice in slices { state.apply(.endpointSlice(slice)) }
        update()
        _ = query()
    }

    mutating func update() {
        claims.update(state.takeTouched(), from: state, in: context)
    }

    mutating func update(_ changes: ObjectChange...) {
        for change in changes { state.apply(change) }
        update()
    }

    mutating func forbidExternalIPs() {
        context.allowsExternalIPs = false
        claims.updateAll(from: state, in: context)
    }

    mutating func query(ranges: [String] = []) -> FlowQuery? {
        claims.takeQuery(nodePortAddresses: nodeAddresses, serviceRanges: ranges.compactMap(CIDR.init))
    }

    /// The query where there must be one.
    mutating func someQuery(ranges: String...) throws -> FlowQuery {
        let query = query(ranges: ranges)
        return try #require(query)
    }

    /// A query by somebody who has seen nothing but the state as it is.
    func freshQuery(ranges: String...) throws -> FlowQuery {
        var fresh = FlowClaims(family: claims.family)
        fresh.updateAll(from: state, in: context)
        let query = fresh.takeQuery(nodePortAddresses: nodeAddresses, serviceRanges: ranges.compactMap(CIDR.init))
        return try #require(query)
    }
}

/// A Service with the UDP port `dns`.
func udpService(_ name: String, _ clusterIP: String, port: UInt16 = 53, nodePort: UInt16 = 0) -> Service {
    var service = Service(name: .valid("ns", name))
    service.clusterIPs = [IPAddress(clusterIP)].compactMap(\.self)
    service.ports = [.init(name: "dns", protocol: .udp, number: port, nodePort: nodePort)]
    return service
}

/// The one slice of a Service: endpoints that serve `dns` on a port.
func udpSlice(
    _ service: String, _ endpoints: String..., port: UInt16 = 5353,
    others: [(String, EndpointSlice.Conditions)] = []
) -> EndpointSlice {
    let all = endpoints.map { ($0, [.ready, .serving] as EndpointSlice.Conditions) } + others
    let addresses = all.compactMap { text, conditions in IPAddress(text).map { ($0, conditions) } }
    var slice = EndpointSlice(
        name: .valid("ns", service), service: .valid("ns", service), family: addresses.first?.0.family ?? .ipv4)
    slice.ports = [.init(name: "dns", protocol: .udp, number: port)]
    slice.endpoints = addresses.map { .init(address: $0, conditions: $1) }
    return slice
}

/// `ADDRESS PORT` as a transport address.
func end(_ text: String) throws -> TransportAddress {
    let words = text.split(separator: " ")
    try #require(words.count == 2)
    return TransportAddress(
        try #require(IPAddress(String(words[0]))), port: try #require(UInt16(words[1])))
}

/// `DESTINATION PORT`, or `DESTINATION PORT > ENDPOINT PORT` for a flow that was translated.
func flow(_ text: String) throws -> UDPFlow {
    let ends = text.split(separator: ">").map(String.init)
    let destination = try end(try #require(ends.first))
    return UDPFlow(destination: destination, replySource: ends.count > 1 ? try end(ends[1]) : destination)
}
