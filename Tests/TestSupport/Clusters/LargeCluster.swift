package import ProxyCore

/// A cluster of one size: plain services, each with one slice.
package struct LargeCluster: Sendable {
    package let services: Int
    package let endpointsEach: Int

    package init(services: Int, endpointsEach: Int) {
        self.services = services
        self.endpointsEach = endpointsEach
    }

    package var changes: some Sequence<ObjectChange> {
        (0..<services).lazy.flatMap { [.service(service($0)), .endpointSlice(slice($0))] }
    }

    package func name(_ index: Int) -> ObjectName {
        // Twenty to a namespace, with names of the length that people use.
        .valid("namespace-\(index / 20)", "service-\(index)")
    }

    package func service(_ index: Int) -> Service {
        var service = Service(name: name(index))
        service.clusterIPs = [IPAddress(ipv4: 0xac1e_0001 + UInt32(index))]  // 172.30.0.1 and on
        service.ports = [.init(name: "http", protocol: .tcp, number: 80)]
        return service
    }

    /// - Parameter generation: another number gives one endpoint another address.
    package func slice(_ index: Int, generation: Int = 0) -> EndpointSlice {
        let service = name(index)
        let sliceName = ObjectName.valid(service.namespace, service.name + "-abcde")
        var slice = EndpointSlice(name: sliceName, service: service, family: .ipv4)
        slice.ports = [.init(name: "http", protocol: .tcp, number: 8080)]
        slice.endpoints = (0..<endpointsEach).map { place in
            let number = UInt32(index * endpointsEach + place)
            let base: UInt32 = place == 0 && generation > 0 ? 0x0b00_0001 + UInt32(generation) : 0x0a00_0001
            return .init(address: IPAddress(ipv4: base + number), nodeName: "node-\(number % 500)")
        }
        return slice
    }
}

extension ObjectName {
    /// A name that is known to be valid.
    package static func valid(_ namespace: String, _ name: String) -> ObjectName {
        guard let valid = ObjectName(namespace: namespace, name: name) else {
            preconditionFailure("\(namespace)/\(name) is not a name")
        }
        return valid
    }
}
