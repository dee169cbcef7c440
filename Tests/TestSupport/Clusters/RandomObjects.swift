package import ProxyCore

/// Random changes of a small cluster, of every kind that a proxy can meet.
package struct RandomObjects {
    package var generator: SeededGenerator
    private let names: [ObjectName] = ["a", "a-b"].flatMap { namespace in
        ["web", "db", "web-1", "cache"].map { ObjectName.valid(namespace, $0) }
    }
    package static let flood = ObjectName.valid("big", "flood")

    package init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
    }

    package mutating func change() -> ObjectChange {
        switch Int.random(in: 0..<100, using: &generator) {
        case ..<40: .service(service(generator.pick(names)))
        case ..<50: .serviceDeleted(generator.pick(names))
        case ..<90: .endpointSlice(slice())
        default: .endpointSliceDeleted(sliceName(generator.pick(names), Int.random(in: 0..<3, using: &generator)))
        }
    }

    /// A slice whose endpoints alone bring the cluster to `count`.
    package static func floodSlice(_ count: Int) -> EndpointSlice {
        var slice = EndpointSlice(name: flood, service: flood, family: .ipv4)
        slice.ports = [.init(name: "", protocol: .tcp, number: 9000)]
        slice.endpoints = (0..<count).map { .init(address: IPAddress(ipv4: 0x0b00_0000 + UInt32($0))) }
        return slice
    }

    package static var floodService: Service {
        var service = Service(name: flood)
        service.clusterIPs = [IPAddress(ipv4: 0xac1e_ff01)]
        service.ports = [.init(name: "", protocol: .tcp, number: 80)]
        return service
    }

    private func sliceName(_ service: ObjectName, _ number: Int) -> ObjectName {
        .valid(service.namespace, "\(service.name)-\(number)")
    }

    private mutating func service(_ name: ObjectName) -> Service {
        var service = Service(name: name)
        let number = UInt32(names.firstIndex(of: name) ?? 0) * 4 + UInt32.random(in: 1...2, using: &generator)
        let addresses = [IPAddress(ipv4: 0xac1e_0000 + number), IPAddress("fd00:10:96::\(number)")].compactMap(\.self)
        service.kind =
            generator.chance(6) ? .externalName : generator.pick([.clusterIP, .clusterIP, .nodePort, .loadBalancer])
        service.clusterIPs =
            generator.chance(6) ? [] : generator.pick([addresses, addresses, [addresses[0]], [addresses[1]]])
        service.externalTrafficPolicy = service.kind == .clusterIP ? .cluster : generator.pick([.cluster, .local])
        service.internalTrafficPolicy = generator.pick([.cluster, .cluster, .local])
        service.affinitySeconds = generator.pick([nil, nil, 10, 10_800])
        service.isForAnotherProxy = generator.chance(3)
        if generator.chance(20) {
            service.externalIPs = externalAddresses("192.168.99.\(number)", "2001:db8:99::\(number)")
        }
        if service.kind == .loadBalancer, generator.chance(80) {
            service.loadBalancerIPs = externalAddresses("1.2.3.\(number)", "2001:db8:77::\(number)")
            if generator.chance(40) {
                service.loadBalancerSourceRanges = ["203.0.113.0/25", "192.168.0.0/24", "2001:db8:cafe::/64", "::/0"]
                    .filter { _ in generator.chance(60) }.compactMap(CIDR.init)
            }
            if service.externalTrafficPolicy == .local { service.healthCheckNodePort = 32_000 + UInt16(number) }
        }
        let hasNodePorts = service.kind == .nodePort || service.kind == .loadBalancer && generator.chance(70)
        service.ports = [("http", TransportProtocol.tcp), ("dns", .udp), ("dns", .tcp), ("", .sctp)].enumerated()
            .filter { _ in generator.chance(70) }.map { index, port in
                .init(
                    name: port.0, protocol: port.1, number: UInt16(80 + index),
                    nodePort: hasNodePorts ? UInt16(30_000 + Int(number) * 8 + index) : 0)
            }
        return service
    }

    private mutating func externalAddresses(_ texts: String...) -> [IPAddress] {
        texts.compactMap(IPAddress.init).filter { _ in generator.chance(80) }
    }

    private mutating func slice() -> EndpointSlice {
        let service = generator.pick(names)
        let family = generator.pick([IPFamily.ipv4, .ipv4, .ipv6])
        let number = Int.random(in: 0..<3, using: &generator)
        // Now and then a slice is moved to another service.
        let owner = generator.chance(4) ? generator.pick(names.filter { $0.namespace == service.namespace }) : service
        var slice = EndpointSlice(name: sliceName(service, number), service: owner, family: family)
        slice.ports = [("http", TransportProtocol.tcp), ("dns", .udp), ("dns", .tcp), ("", .sctp)]
            .filter { _ in generator.chance(90) }.map { .init(name: $0.0, protocol: $0.1, number: 8080) }
        let hints = generator.pick([0, 0, 1, 2])
        slice.endpoints = (0..<Int.random(in: 0..<6, using: &generator)).map { _ in endpoint(family, hints) }
        return slice
    }

    private mutating func endpoint(_ family: IPFamily, _ hints: Int) -> EndpointSlice.Endpoint {
        let number = UInt32.random(in: 1...12, using: &generator)
        let address = family == .ipv4 ? IPAddress(ipv4: 0x0ab4_0000 + number) : IPAddress("fd00:10:180::\(number)")
        return .init(
            address: address ?? .loopback(family), nodeName: generator.pick(["node1", "node2", "node3", ""]),
            conditions: generator.pick([
                [.ready, .serving], [.ready, .serving], [.ready, .serving], [.serving, .terminating], [.terminating],
                [.serving], [],
            ]),
            zoneHints: hints == 1 ? [generator.pick(["zone-a", "zone-b"])] : [],
            nodeHints: hints == 2 ? [generator.pick(["node1", "node2"])] : [])
    }
}
