import ProxyCore

/// What the layout depends on beside the services, and what follows from that alone: the containers, and the chains
/// that are there whatever services there are.
struct SharedMapsSettings: Hashable {
    let node: NodePlan
    /// Those of the family, each once, in the order of their texts.
    let serviceRanges: [CIDR]
    let options: SharedMapsTable.Options

    init(_ node: NodePlan, serviceRanges: [CIDR], options: SharedMapsTable.Options) {
        self.node = node
        self.serviceRanges = Set(serviceRanges.filter { $0.family == node.family })
            .map { ($0, $0.description) }.sorted { $0.1 < $1.1 }.map(\.0)
        self.options = options
    }

    var identity: NFTTable.Identity {
        .init(family: node.family, name: SharedMapsName.table, comment: SharedMapsName.tableComment)
    }

    /// The addresses that serve node ports; nil if every local one does.
    var nodePortIPs: [IPAddress]? {
        if case .addresses(let addresses) = node.nodePorts { addresses } else { nil }
    }

    // MARK: - Containers

    var sets: [NFTSet] {
        Self.sets(hasNodePortIPs: nodePortIPs != nil, hasCounters: options.perServiceCounters)
    }

    static func sets(hasNodePortIPs: Bool, hasCounters: Bool) -> [NFTSet] {
        let destination: [NFTType] = [.address, .protocol, .port]
        var sets = [
            NFTSet(name: SharedMapsName.clusterIPs, key: [.address]),
            NFTSet(name: SharedMapsName.hairpins, key: [.address, .address, .protocol, .port]),
            NFTSet(name: SharedMapsName.serviceIPs, key: destination, datum: .verdict),
            NFTSet(name: SharedMapsName.serviceNodePorts, key: [.protocol, .port], datum: .verdict),
            NFTSet(name: SharedMapsName.noEndpointServices, key: destination, datum: .verdict),
            NFTSet(name: SharedMapsName.noEndpointNodePorts, key: [.protocol, .port], datum: .verdict),
            NFTSet(name: SharedMapsName.firewallIPs, key: destination, datum: .verdict),
        ]
        if hasNodePortIPs { sets.append(NFTSet(name: SharedMapsName.nodePortIPs, key: [.address])) }
        if hasCounters {
            sets.append(NFTSet(name: SharedMapsName.serviceCounters, key: destination, datum: .counter))
            sets.append(NFTSet(name: SharedMapsName.nodePortCounters, key: [.protocol, .port], datum: .counter))
        }
        for transport in [TransportProtocol.tcp, .udp, .sctp] {
            sets.append(endpointMap(.address, transport))
            sets.append(endpointMap(.nodePort, transport))
        }
        sets.append(
            NFTSet(
                name: SharedMapsName.picks, key: [.address, .number], datum: .values([.address]),
                typeof: .init(key: [.destinationAddress, .random(modulus: 2)], datum: [.destinationAddress])))
        for pool in [ServicePlan.Pool.cluster, .local] {
            sets.append(
                NFTSet(name: SharedMapsName.endpointIDs(pool), key: [.address], datum: .values([.address, .port])))
        }
        sets.append(
            NFTSet(
                name: SharedMapsName.affinity, key: [.address, .address], datum: .values([.address]), isDynamic: true,
                hasTimeouts: true, size: 262_144))
        return sets
    }

    private static func endpointMap(_ entrance: Entrance, _ transport: TransportProtocol) -> NFTSet {
        let index = NFTField.random(modulus: 2)
        let port = NFTField.destinationPortOf(transport)
        return NFTSet(
            name: SharedMapsName.endpoints(entrance, transport),
            key: entrance == .address ? [.address, .port, .number] : [.port, .number],
            datum: .values([.address, .port]),
            typeof: .init(
                key: entrance == .address ? [.destinationAddress, port, index] : [port, index],
                datum: [.destinationAddress, port]))
    }

    /// The elements that do not come from services.
    var elements: [NFTElement] {
        (nodePortIPs ?? []).map { NFTElement(set: SharedMapsName.nodePortIPs, key: [.address($0)]) }
    }

    // MARK: - Chains

    private static let destination: [NFTField] = [.destinationAddress, .transportProtocol, .destinationPort]
    private static let nodePort: [NFTField] = [.transportProtocol, .destinationPort]

    var chains: [NFTChain] {
        let toServices = NFTRule(.verdict(.jump(SharedMapsName.services)))
        let firewall = NFTRule(
            .matchNewConnection, .verdictMap(Self.destination, map: SharedMapsName.firewallIPs))
        let noEndpoints = NFTRule(
            .matchNewConnection, .verdictMap(Self.destination, map: SharedMapsName.noEndpointServices))
        return [
            NFTChain(name: SharedMapsName.reject, rules: [NFTRule(.reject)]),
            NFTChain(name: SharedMapsName.services, rules: services),
            NFTChain(
                name: SharedMapsName.nodePorts,
                rules: counting(Self.nodePort, in: SharedMapsName.nodePortCounters)
                    + Self.twice(.verdictMap(Self.nodePort, map: SharedMapsName.serviceNodePorts))),
            // Before the translation of destinations: afterwards the address of the load balancer is gone.
            NFTChain(
                name: "pre-dnat-prerouting", hook: .init(.filter, .prerouting, priority: -110), rules: [firewall]),
            NFTChain(name: "pre-dnat-output", hook: .init(.filter, .output, priority: -110), rules: [firewall]),
            NFTChain(name: "nat-prerouting", hook: .init(.nat, .prerouting, priority: -100), rules: [toServices]),
            NFTChain(name: "nat-output", hook: .init(.nat, .output, priority: -100), rules: [toServices]),
            NFTChain(
                name: "nat-postrouting", hook: .init(.nat, .postrouting, priority: 100), rules: masquerading),
            NFTChain(
                name: "filter-input", hook: .init(.filter, .input, priority: 0),
                rules: [
                    NFTRule(
                        [.matchNewConnection] + nodePortMatch
                            + [.verdictMap(Self.nodePort, map: SharedMapsName.noEndpointNodePorts)]),
                    noEndpoints,
                ]),
            NFTChain(
                name: "filter-forward", hook: .init(.filter, .forward, priority: 0),
                rules: [noEndpoints] + clusterIPGuards),
            NFTChain(
                name: "filter-output", hook: .init(.filter, .output, priority: 0),
                rules: [noEndpoints] + clusterIPGuards),
        ]
    }

    private var services: [NFTRule] {
        var rules: [NFTRule] = []
        if let masquerade = clusterIPMasquerade { rules.append(masquerade) }
        rules += counting(Self.destination, in: SharedMapsName.serviceCounters)
        rules += Self.twice(.verdictMap(Self.destination, map: SharedMapsName.serviceIPs))
        let isLocal: [NFTStatement] = nodePortIPs == nil ? [.matchLocal(.destinationAddressType)] : []
        rules.append(NFTRule(isLocal + nodePortMatch + [.verdict(.jump(SharedMapsName.nodePorts))]))
        return rules
    }

    private func counting(_ key: [NFTField], in map: String) -> [NFTRule] {
        options.perServiceCounters ? [NFTRule(.count(key: key, map: map))] : []
    }

    private var clusterIPMasquerade: NFTRule? {
        let isClusterIP = NFTStatement.matchSet([.destinationAddress], set: SharedMapsName.clusterIPs)
        let mark = NFTStatement.setMark(node.masqueradeMark)
        if node.context.masqueradeAll { return NFTRule(isClusterIP, mark) }
        return node.localSourceMatch(isNot: true).map { NFTRule(isClusterIP, $0, mark) }
    }

    private var nodePortMatch: [NFTStatement] { node.nodePortMatch(set: SharedMapsName.nodePortIPs) }

    private var masquerading: [NFTRule] {
        let masquerade = NFTStatement.masquerade(fullyRandom: node.masqueradesRandomly)
        let hairpin: [NFTField] = [.sourceAddress, .destinationAddress, .transportProtocol, .destinationPort]
        return [
            NFTRule(.matchMark(node.masqueradeMark), .invertMark(node.masqueradeMark), masquerade),
            NFTRule(.matchTranslated, .matchSet(hairpin, set: SharedMapsName.hairpins), masquerade),
        ]
    }

    /// Other ports of cluster IPs refuse, addresses that may become cluster IPs swallow.
    private var clusterIPGuards: [NFTRule] {
        [
            NFTRule(
                .matchNewConnection, .matchSet([.destinationAddress], set: SharedMapsName.clusterIPs), .reject)
        ]
            + serviceRanges.map {
                NFTRule(.matchNewConnection, .matchAddress(.destinationAddress, $0), .verdict(.drop))
            }
    }

    /// In the instant of a commit that replaces an element, one look-up can miss both the old and the new one.
    private static func twice(_ statement: NFTStatement) -> [NFTRule] {
        [NFTRule(statement), NFTRule(statement)]
    }
}
