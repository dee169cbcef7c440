import NFTBackend
import ProxyCore

/// A table of the layout `shared-maps` as docs/nftables-layout.md shows it: every shape of set and statement that the
/// layouts have stands in it.
struct SharedMapsExample {
    let table: NFTTable
    let elements: [NFTElement]

    private static let serviceKey: [NFTField] = [.destinationAddress, .transportProtocol, .destinationPort]
    private static let nodePortKey: [NFTField] = [.transportProtocol, .destinationPort]
    private static let serviceTypes: [NFTType] = [.address, .protocol, .port]
    private static let mark: UInt32 = 0x4000

    let family: IPFamily

    init(_ family: IPFamily) {
        self.family = family
        let addresses = Addresses(family)
        let identity = NFTTable.Identity(family: family, name: "switchyard", comment: "rules for Switchyard")
        table = NFTTable(
            identity, chains: Self.kinds(addresses) + Self.affinity(addresses) + Self.dispatch(addresses),
            sets: Self.dispatchSets + Self.endpointSets + Self.affinitySets)
        elements = Self.elements(addresses)
    }

    private struct Addresses {
        let family: IPFamily

        init(_ family: IPFamily) { self.family = family }

        /// An address whose last part tells it from others.
        func callAsFunction(_ last: UInt8) -> IPAddress {
            family == .ipv4
                ? IPAddress(ipv4: 0x0ab4_0000 | UInt32(last)) : IPAddress("fd00:10::\(last)") ?? .loopback(.ipv6)
        }

        /// An identifier of the affinity maps.
        func id(_ number: UInt8, isService: Bool = false) -> IPAddress {
            family == .ipv4
                ? IPAddress(ipv4: (isService ? 0x0080_0000 : 0) | UInt32(number))
                : IPAddress(isService ? "::80:\(number)" : "::0:\(number)") ?? .loopback(.ipv6)
        }

        var pods: CIDR { CIDR(base: self(0), prefixLength: 16) ?? .everything(family) }
        var loopback: CIDR {
            family == .ipv4
                ? CIDR(base: .loopback(.ipv4), prefixLength: 8) ?? .everything(family) : CIDR(.loopback(.ipv6))
        }
    }
}

// Sets.
extension SharedMapsExample {
    private static var dispatchSets: [NFTSet] {
        [
            NFTSet(name: "cluster-ips", key: [.address]),
            NFTSet(name: "hairpin-connections", key: [.address, .address, .protocol, .port]),
            NFTSet(name: "service-ips", comment: "services", key: serviceTypes, datum: .verdict),
            NFTSet(name: "service-nodeports", key: [.protocol, .port], datum: .verdict),
            NFTSet(name: "no-endpoint-services", key: serviceTypes, datum: .verdict),
            NFTSet(name: "no-endpoint-nodeports", key: [.protocol, .port], datum: .verdict),
            NFTSet(name: "firewall-ips", key: serviceTypes, datum: .verdict),
            NFTSet(name: "service-counters", key: serviceTypes, datum: .counter),
        ]
    }

    private static var endpointSets: [NFTSet] {
        TransportProtocol.allCases.flatMap { transport -> [NFTSet] in
            let port = NFTField.destinationPortOf(transport)
            let datum = NFTSet.Datum.values([.address, .port])
            return [
                NFTSet(
                    name: "endpoints-\(transport.lowercaseName)", key: [.address, .port, .number], datum: datum,
                    typeof: .init(
                        key: [.destinationAddress, port, .random(modulus: 2)], datum: [.destinationAddress, port])),
                NFTSet(
                    name: "nodeport-endpoints-\(transport.lowercaseName)", key: [.port, .number], datum: datum,
                    typeof: .init(key: [port, .random(modulus: 2)], datum: [.destinationAddress, port])),
            ]
        }
    }

    private static var affinitySets: [NFTSet] {
        [
            NFTSet(
                name: "picks", key: [.address, .number], datum: .values([.address]),
                typeof: .init(key: [.destinationAddress, .random(modulus: 2)], datum: [.destinationAddress])),
            NFTSet(name: "endpoint-ids", key: [.address], datum: .values([.address, .port])),
            NFTSet(name: "local-endpoint-ids", key: [.address], datum: .values([.address, .port])),
            NFTSet(
                name: "affinity", key: [.address, .address], datum: .values([.address]), isDynamic: true,
                hasTimeouts: true, size: 262_144),
        ]
    }
}

// Chains.
extension SharedMapsExample {
    private static func kinds(_ addresses: Addresses) -> [NFTChain] {
        func pick(_ count: UInt32, offset: UInt32 = 0) -> NFTRule {
            NFTRule(
                .translateByMap(
                    [.destinationAddress, .destinationPortOf(.tcp), .random(modulus: count, offset: offset)],
                    map: "endpoints-tcp"))
        }
        func nodePick(_ count: UInt32) -> NFTRule {
            NFTRule(
                .translateByMap(
                    [.destinationPortOf(.tcp), .random(modulus: count)], map: "nodeport-endpoints-tcp"))
        }
        return [
            NFTChain(name: "reject-it", comment: "no endpoints", rules: [NFTRule(.reject)]),
            NFTChain(name: "pick-tcp-3", rules: [pick(3), pick(1)]),
            NFTChain(name: "local-tcp-1", rules: [pick(1, offset: 65536), pick(1, offset: 65536)]),
            NFTChain(
                name: "policy-local-tcp-3-1",
                rules: [
                    NFTRule(.matchAddress(.sourceAddress, addresses.pods), .verdict(.goto("pick-tcp-3"))),
                    NFTRule(.matchLocal(.sourceAddressType), .setMark(mark), .verdict(.goto("pick-tcp-3"))),
                    NFTRule(.verdict(.goto("local-tcp-1"))),
                ]),
            NFTChain(name: "node-pick-tcp-3", rules: [nodePick(3), nodePick(1)]),
            NFTChain(
                name: "firewall-DZMR2ZFY",
                rules: [
                    NFTRule(.matchAddress(.sourceAddress, addresses.pods), .verdict(.return)),
                    NFTRule(.matchAddress(.sourceAddress, CIDR(addresses(4))), .verdict(.return)),
                    NFTRule(.verdict(.drop)),
                ]),
        ]
    }

    private static func affinity(_ addresses: Addresses) -> [NFTChain] {
        let client: [NFTField] = [.originalSourceAddress, .destinationAddress]
        func candidate(_ count: UInt32) -> NFTRule {
            NFTRule(
                .setAddress(.sourceAddress, .map([.destinationAddress, .random(modulus: count)], map: "picks")))
        }
        let remember = NFTRule(
            .update(set: "affinity", key: client, datum: .sourceAddress, timeoutSeconds: 10800))
        let restore = [
            NFTRule(.setAddress(.destinationAddress, .field(.sourceAddress))),
            NFTRule(.setAddress(.sourceAddress, .field(.originalSourceAddress))),
            NFTRule(.matchProtocol(.tcp), .translateByMap([.destinationAddress], map: "endpoint-ids")),
        ]
        let id = addresses.id(1, isService: true)
        return [
            NFTChain(
                name: "sticky-tcp-2-10800",
                rules: [candidate(1), candidate(2), remember]
                    + [NFTRule(.setAddress(.sourceAddress, .map(client, map: "affinity")))] + restore),
            NFTChain(
                name: "resticky-tcp-2-10800",
                rules: [candidate(1), candidate(2)]
                    + [NFTRule(.delete(set: "affinity", key: client, datum: .sourceAddress)), remember] + restore
                    + [NFTRule(.setAddress(.destinationAddress, .field(.originalDestinationAddress)))]),
            NFTChain(
                name: "service-ns1/cart/tcp/http",
                rules: [
                    NFTRule(
                        .setAddress(.destinationAddress, .constant(id)), .verdict(.jump("sticky-tcp-2-10800"))),
                    NFTRule(
                        .setAddress(.destinationAddress, .constant(id)), .verdict(.goto("resticky-tcp-2-10800"))),
                ]),
            NFTChain(
                name: "external-ns1/cart/tcp/http",
                rules: [NFTRule(.setMark(mark), .verdict(.goto("service-ns1/cart/tcp/http")))]),
        ]
    }

    private static func dispatch(_ addresses: Addresses) -> [NFTChain] {
        let services = NFTRule(.verdictMap(serviceKey, map: "service-ips"))
        let nodePorts = NFTRule(.verdictMap(nodePortKey, map: "service-nodeports"))
        let noEndpoints = NFTRule(.matchNewConnection, .verdictMap(serviceKey, map: "no-endpoint-services"))
        return [
            NFTChain(
                name: "services",
                rules: [
                    NFTRule(
                        .matchSet([.destinationAddress], set: "cluster-ips"),
                        .matchAddress(.sourceAddress, addresses.pods, isNot: true), .setMark(mark),
                        comment: "from outside the cluster"),
                    NFTRule(.count(key: serviceKey, map: "service-counters")),
                    services, services,
                    NFTRule(
                        .matchLocal(.destinationAddressType),
                        .matchAddress(.destinationAddress, addresses.loopback, isNot: true),
                        .verdict(.jump("nodeports"))),
                ]),
            NFTChain(name: "nodeports", rules: [nodePorts, nodePorts]),
            NFTChain(
                name: "nat-prerouting", hook: .init(.nat, .prerouting, priority: -100),
                rules: [NFTRule(.verdict(.jump("services")))]),
            NFTChain(
                name: "nat-postrouting", hook: .init(.nat, .postrouting, priority: 100),
                rules: [
                    NFTRule(.matchMark(mark), .invertMark(mark), .masquerade(fullyRandom: true)),
                    NFTRule(
                        .matchTranslated,
                        .matchSet(
                            [.sourceAddress, .destinationAddress, .transportProtocol, .destinationPort],
                            set: "hairpin-connections"), .masquerade(fullyRandom: false)),
                ]),
            NFTChain(
                name: "filter-input", hook: .init(.filter, .input, priority: 0),
                rules: [
                    NFTRule(
                        .matchNewConnection, .matchAddress(.destinationAddress, addresses.loopback, isNot: true),
                        .verdictMap(nodePortKey, map: "no-endpoint-nodeports")),
                    noEndpoints,
                    NFTRule(.matchInterface("cbr0"), .matchInterface("veth*", isNot: true), .verdict(.accept)),
                ]),
            NFTChain(
                name: "filter-forward", hook: .init(.filter, .forward, priority: 0),
                rules: [
                    noEndpoints,
                    NFTRule(.matchNewConnection, .matchSet([.destinationAddress], set: "cluster-ips"), .reject),
                    NFTRule(
                        .matchNewConnection,
                        .matchAddresses(.destinationAddress, [addresses.pods], and: [.loopback(addresses.family)]),
                        .verdict(.drop)),
                ]),
        ]
    }
}

// Elements.
extension SharedMapsExample {
    private static func elements(_ addresses: Addresses) -> [NFTElement] {
        func key(_ last: UInt8, _ transport: TransportProtocol, _ port: UInt16) -> [NFTValue] {
            [.address(addresses(last)), .protocol(transport), .port(port)]
        }
        func endpoint(_ last: UInt8) -> NFTElement.Datum { .values([.address(addresses(last)), .port(8080)]) }
        let endpoints = [0, 1, 2, 65536].map { (index: UInt32) in
            NFTElement(
                set: "endpoints-tcp", key: [.address(addresses(1)), .port(80), .number(index)],
                datum: endpoint(UInt8(100 + index % 100)))
        }
        return endpoints + [
            NFTElement(set: "cluster-ips", key: [.address(addresses(1))]),
            NFTElement(
                set: "hairpin-connections",
                key: [.address(addresses(9)), .address(addresses(9)), .protocol(.tcp), .port(8080)]),
            NFTElement(
                set: "service-ips", key: key(1, .tcp, 80), datum: .verdict(.goto("pick-tcp-3")),
                comment: "ns1/web:http"),
            NFTElement(
                set: "service-ips", key: key(2, .tcp, 80), datum: .verdict(.goto("external-ns1/cart/tcp/http"))),
            NFTElement(
                set: "service-nodeports", key: [.protocol(.tcp), .port(31000)],
                datum: .verdict(.goto("node-pick-tcp-3"))),
            NFTElement(set: "no-endpoint-services", key: key(3, .sctp, 80), datum: .verdict(.goto("reject-it"))),
            NFTElement(set: "no-endpoint-services", key: key(4, .udp, 80), datum: .verdict(.drop)),
            NFTElement(
                set: "firewall-ips", key: key(4, .tcp, 80), datum: .verdict(.goto("firewall-DZMR2ZFY")),
                comment: "ns1/web:http"),
            NFTElement(
                set: "picks", key: [.address(addresses.id(1, isService: true)), .number(0)],
                datum: .values([.address(addresses.id(1))])),
            NFTElement(set: "endpoint-ids", key: [.address(addresses.id(1))], datum: endpoint(7)),
        ]
    }
}
