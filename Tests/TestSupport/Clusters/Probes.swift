package import ProxyCore

/// Packets of every kind of client to everything that a cluster has, and to what it has not.
package struct Probes {
    private var sources: [IPAddress] = []
    private var destinations: [(address: IPAddress, port: UInt16)] = []
    /// The interfaces that packets come in by.
    private var interfaces: [String?] = [nil]

    /// - Parameter plan: the node's, for one family.
    package init(_ state: ClusterState, _ node: Node, _ plan: NodePlan) {
        let family = plan.family
        let services = state.services.values.sorted { $0.name < $1.name }
        let nodeAddresses = HostFacts(of: node).addresses.filter { $0.family == family }
        let pods = node.podCIDRs.filter { $0.family == family }.map(\.base)
        // A pod of this node, perhaps one of another node, another node, a client.
        sources = nodeAddresses + pods.map { $0.advanced(by: 200) } + pods.map { $0.advanced(by: 0x1_00c9) }
        sources += nodeAddresses.map { $0.advanced(by: 1) }
        sources += ["203.0.113.5", "203.0.113.200", "2001:db8:cafe::5", "2001:db8:beef::5"].compactMap(IPAddress.init)
            .filter { $0.family == family }
        var nodePorts: Set<UInt16> = []
        for service in services {
            for slice in state.slices(of: service.name) where slice.family == family {
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
        switch plan.localDetector {
        case .bridge(let name): interfaces += [name, "eth0"]
        case .interfacePrefix(let prefix): interfaces += [prefix + "1", "eth0"]
        default: break
        }
    }

    /// As many as there are, but of many only some, drawn by chance that is the same each time.
    package func packets(limit: Int) -> [Packet] {
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
