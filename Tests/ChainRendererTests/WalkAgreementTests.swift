import ChainRenderer
import ProxyCore
import TestSupport
import Testing

/// Packets of every kind of client to everything that a cluster has, and to what it has not.
private struct Probes {
    var sources: [IPAddress] = []
    var destinations: [(address: IPAddress, port: UInt16)] = []
    /// The interfaces that packets come in by.
    var interfaces: [String?] = [nil]
    var family: IPFamily

    init(_ cluster: GoldenCluster, _ family: IPFamily) {
        self.family = family
        let services = cluster.state.services.values.sorted { $0.name < $1.name }
        let nodeAddresses = HostFacts(of: cluster.node).addresses.filter { $0.family == family }
        let pods = cluster.node.podCIDRs.filter { $0.family == family }.map(\.base)
        // A pod of this node, perhaps one of another node, another node, a client.
        sources = nodeAddresses + pods.map { $0.advanced(by: 200) } + pods.map { $0.advanced(by: 0x1_00c9) }
        sources += nodeAddresses.map { $0.advanced(by: 1) }
        sources += ["203.0.113.5", "203.0.113.200", "2001:db8:cafe::5", "2001:db8:beef::5"].compactMap(IPAddress.init)
            .filter { $0.family == family }
        var nodePorts: Set<UInt16> = []
        for service in services {
            for slice in cluster.state.slices(of: service.name) where slice.family == family {
                sources += slice.endpoints.prefix(3).map(\.address)
                for port in slice.ports {
                    destinations += slice.endpoints.prefix(2).map { ($0.address, port.number) }
                }
            }
            let addresses = (service.clusterIPs + service.externalIPs + service.loadBalancerIPs)
                .filter { $0.family == family }
            // A node speaks to a load-balancer IP that it has from that address.
            sources += service.loadBalancerIPs.filter { $0.family == family }
            for port in service.ports.map(\.number) + [4] { destinations += addresses.map { ($0, port) } }
            nodePorts.formUnion(service.ports.map(\.nodePort) + [service.healthCheckNodePort])
        }
        nodePorts.remove(0)
        for address in nodeAddresses + nodeAddresses.map({ $0.advanced(by: 1) }) {
            destinations += nodePorts.sorted().map { (address, $0) } + [(address, 4)]
        }
        sources = Set(sources).sorted { $0.description < $1.description }
        switch cluster.nodePlan(family).localDetector {
        case .bridge(let name): interfaces += [name, "eth0"]
        case .interfacePrefix(let prefix): interfaces += [prefix + "1", "eth0"]
        default: break
        }
    }

    /// As many as there are, but of many only some, drawn by chance that is the same each time.
    func packets(limit: Int) -> [Packet] {
        let all = sources.count * destinations.count * TransportProtocol.allCases.count * interfaces.count
        var generator = SeededGenerator(seed: 7)
        return (0..<min(all, limit)).compactMap { number in
            var rest = all <= limit ? number : Int.random(in: 0..<all, using: &generator)
            func take<Element>(_ elements: [Element]) -> Element {
                defer { rest /= elements.count }
                return elements[rest % elements.count]
            }
            let destination = take(destinations)
            return Packet(
                from: take(sources), to: destination.address, port: destination.port,
                protocol: take(TransportProtocol.allCases), inInterface: take(interfaces))
        }
    }
}

extension IPAddress {
    fileprivate func advanced(by count: UInt64) -> IPAddress { IPAddress(high: high, low: low &+ count) }
}

extension PacketFate {
    /// Equal but for what ten decimals of a probability cannot say.
    fileprivate func isClose(to other: PacketFate) -> Bool {
        branches.count == other.branches.count
            && zip(branches, other.branches).allSatisfy { left, right in
                left.end == right.end && left.source == right.source && abs(left.share - right.share) < 1e-6
            }
    }
}

@Suite("The two walks")
struct WalkAgreementTests {
    @Test("end alike in either order, in both families", arguments: GoldenCase.all, IPFamily.allCases)
    func agree(_ golden: GoldenCase, _ family: IPFamily) throws {
        let cluster = try GoldenCluster(golden)
        let plans = cluster.planWalk(family)
        let rules = RuleWalk(try RuleSet(wanted: cluster.batch(family)), local: cluster.local)
        var found: [String] = []
        for packet in Probes(cluster, family).packets(limit: 250) {
            for order in [WalkOrder.host, .tracer] {
                let expected = plans.fate(of: packet, order: order)
                let actual = rules.walk(packet, order: order).fate
                guard !actual.isClose(to: expected) else { continue }
                found.append(
                    "\(order): \(packet): plans \(expected.branches), rules \(actual.branches)\n".prefix(400)
                        .description)
            }
        }
        #expect(found.isEmpty, "\(found.count): \(found.prefix(3))")
    }
}
