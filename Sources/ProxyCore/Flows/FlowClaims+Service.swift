extension FlowClaims {
    /// The destinations of a Service's UDP ports in a family, each with the endpoints that flows may have been sent to.
    static func destinations(
        of service: Service, slices: some Collection<EndpointSlice>, _ family: IPFamily, _ context: PlanContext
    ) -> [FlowDestination: Set<TransportAddress>] {
        guard service.isProxied, service.ports.contains(where: { $0.protocol == .udp }),
            let clusterIP = service.clusterIPs.first(where: { $0.family == family })
        else { return [:] }
        let others = (context.allowsExternalIPs ? service.externalIPs : []) + service.loadBalancerIPs
        let addresses = [clusterIP] + others.filter { $0.family == family }

        var destinations: [FlowDestination: Set<TransportAddress>] = [:]
        for port in service.ports where port.protocol == .udp {
            let endpoints = endpoints(of: port, slices, family)
            for address in addresses {
                destinations[.address(.init(address, port: port.number)), default: []].formUnion(endpoints)
            }
            if port.nodePort != 0 { destinations[.nodePort(port.nodePort), default: []].formUnion(endpoints) }
        }
        return destinations
    }

    private static func endpoints(
        of port: Service.Port, _ slices: some Collection<EndpointSlice>, _ family: IPFamily
    ) -> Set<TransportAddress> {
        var endpoints: Set<TransportAddress> = []
        for slice in slices where slice.family == family {
            for slicePort in slice.ports where slicePort.name == port.name && slicePort.protocol == port.protocol {
                for endpoint in slice.endpoints where !endpoint.conditions.isDisjoint(with: [.ready, .serving]) {
                    endpoints.insert(TransportAddress(endpoint.address, port: slicePort.number))
                }
            }
        }
        return endpoints
    }
}

extension NodePlan {
    /// Of the node's addresses, those on which node ports are served in this family.
    public func nodePortAddresses(among addresses: some Sequence<IPAddress>) -> Set<IPAddress> {
        switch nodePorts {
        case .addresses(let chosen): Set(chosen)
        case .everyLocalAddress(let exceptLoopback):
            Set(addresses.filter { $0.family == family && !(exceptLoopback && $0.isLoopback) })
        }
    }
}
