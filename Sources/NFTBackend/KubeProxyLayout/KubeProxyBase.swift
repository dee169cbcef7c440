import ProxyCore

/// The chains and sets that the table has whatever the services are.
struct KubeProxyBase {
    let node: NodePlan
    /// In the order of their texts.
    let serviceRanges: [CIDR]

    init(node: NodePlan, serviceRanges: [CIDR]) {
        self.node = node
        let ranges = Set(serviceRanges.filter { $0.family == node.family })
        self.serviceRanges = ranges.map { ($0, $0.description) }.sorted { $0.1 < $1.1 }.map(\.0)
    }

    var chains: [NFTChain] { hooks + targets }

    /// The priorities are nft's `dstnat` (-100), `filter` (0) and `srcnat` (100); source ranges are looked at before the
    /// destination is translated.
    private var hooks: [NFTChain] {
        let beforeTranslation: Int32 = -110
        return [
            hook(
                "filter-prerouting-pre-dnat", .init(.filter, .prerouting, priority: beforeTranslation),
                ofNew: KubeProxyNames.firewallCheck),
            hook(
                "filter-output-pre-dnat", .init(.filter, .output, priority: beforeTranslation),
                ofNew: KubeProxyNames.firewallCheck),
            hook(
                "filter-input", .init(.filter, .input, priority: 0),
                ofNew: KubeProxyNames.nodePortEndpointsCheck, KubeProxyNames.serviceEndpointsCheck),
            hook(
                "filter-forward", .init(.filter, .forward, priority: 0),
                ofNew: KubeProxyNames.serviceEndpointsCheck, KubeProxyNames.clusterIPsCheck),
            hook(
                "filter-output", .init(.filter, .output, priority: 0),
                ofNew: KubeProxyNames.serviceEndpointsCheck, KubeProxyNames.clusterIPsCheck),
            // A nat chain sees the first packet of a connection only.
            NFTChain(
                name: "nat-prerouting", hook: .init(.nat, .prerouting, priority: -100),
                rules: [NFTRule(.verdict(.jump(KubeProxyNames.services)))]),
            NFTChain(
                name: "nat-output", hook: .init(.nat, .output, priority: -100),
                rules: [NFTRule(.verdict(.jump(KubeProxyNames.services)))]),
            NFTChain(
                name: "nat-postrouting", hook: .init(.nat, .postrouting, priority: 100),
                rules: [NFTRule(.verdict(.jump(KubeProxyNames.masquerading)))]),
        ]
    }

    private func hook(_ name: String, _ hook: NFTChain.Hook, ofNew targets: String...) -> NFTChain {
        NFTChain(
            name: name, hook: hook, rules: targets.map { NFTRule(.matchNewConnection, .verdict(.jump($0))) })
    }

    private var targets: [NFTChain] {
        let portKey = NFTField.serviceNodePort
        return [
            NFTChain(name: KubeProxyNames.services, rules: serviceRules),
            NFTChain(name: KubeProxyNames.masquerading, rules: masqueradeRules),
            NFTChain(
                name: KubeProxyNames.firewallCheck,
                rules: [NFTRule(.verdictMap(NFTField.serviceAddress, map: KubeProxyNames.firewallIPs))]),
            NFTChain(
                name: KubeProxyNames.serviceEndpointsCheck,
                rules: [NFTRule(.verdictMap(NFTField.serviceAddress, map: KubeProxyNames.noEndpointServices))]),
            NFTChain(
                name: KubeProxyNames.nodePortEndpointsCheck,
                rules: [
                    // In the input hook every destination is a local address.
                    NFTRule(nodeAddressMatch + [.verdictMap(portKey, map: KubeProxyNames.noEndpointNodePorts)])
                ]),
            NFTChain(name: KubeProxyNames.clusterIPsCheck, rules: clusterIPRules),
            NFTChain(
                name: KubeProxyNames.reject, comment: "helper for @no-endpoint-services / @no-endpoint-nodeports",
                rules: [NFTRule(.reject)]),
        ]
    }

    private var serviceRules: [NFTRule] {
        var rules: [NFTRule] = []
        let toClusterIP = NFTStatement.matchSet([.destinationAddress], set: KubeProxyNames.clusterIPs)
        if node.context.masqueradeAll {
            rules.append(
                NFTRule(
                    toClusterIP, .setMark(node.masqueradeMark), comment: "masquerade all clusterIP traffic"))
        } else if let notLocal = node.localDetector.match(isNot: true) {
            rules.append(
                NFTRule(
                    toClusterIP, notLocal, .setMark(node.masqueradeMark),
                    comment: "masquerade clusterIP traffic from outside cluster"))
        }
        rules.append(NFTRule(.verdictMap(NFTField.serviceAddress, map: KubeProxyNames.serviceIPs)))
        var nodePort = nodeAddressMatch
        if case .everyLocalAddress = node.nodePorts {
            nodePort.insert(.matchLocal(.destinationAddressType), at: 0)
        }
        rules.append(
            NFTRule(nodePort + [.verdictMap(NFTField.serviceNodePort, map: KubeProxyNames.serviceNodePorts)]))
        return rules
    }

    /// Tells the addresses on which node ports are served among the local ones.
    private var nodeAddressMatch: [NFTStatement] {
        switch node.nodePorts {
        case .addresses: [.matchSet([.destinationAddress], set: KubeProxyNames.nodePortIPs)]
        case .everyLocalAddress(exceptLoopback: true):
            [.matchAddress(.destinationAddress, .loopback(node.family), isNot: true)]
        case .everyLocalAddress(exceptLoopback: false): []
        }
    }

    private var masqueradeRules: [NFTRule] {
        let masquerade = NFTStatement.masquerade(fullyRandom: node.masqueradesRandomly)
        return [
            // The mark is taken off again, as a packet that is encapsulated later comes by once more.
            NFTRule(.matchMark(node.masqueradeMark), .invertMark(node.masqueradeMark), masquerade),
            NFTRule(
                .matchTranslated, .matchSet(NFTField.hairpin, set: KubeProxyNames.hairpinConnections), masquerade),
        ]
    }

    private var clusterIPRules: [NFTRule] {
        guard node.context.traits.guardsClusterIPs else { return [] }
        var rules = [
            NFTRule(
                .matchSet([.destinationAddress], set: KubeProxyNames.clusterIPs), .reject,
                comment: "Reject traffic to invalid ports of ClusterIPs")
        ]
        if !serviceRanges.isEmpty {
            rules.append(
                NFTRule(
                    .matchAddresses(.destinationAddress, serviceRanges), .verdict(.drop),
                    comment: "Drop traffic to unallocated ClusterIPs"))
        }
        return rules
    }

    var sets: [NFTSet] {
        var sets = [
            NFTSet(name: KubeProxyNames.clusterIPs, comment: "Active ClusterIPs", key: [.address]),
            NFTSet(
                name: KubeProxyNames.hairpinConnections, comment: "service hairpin connections",
                key: [.address, .address, .protocol, .port]),
            verdictMap(
                KubeProxyNames.firewallIPs, [.address, .protocol, .port],
                "destinations that are subject to LoadBalancerSourceRanges"),
            verdictMap(
                KubeProxyNames.noEndpointServices, [.address, .protocol, .port],
                "vmap to drop or reject packets to services with no endpoints"),
            verdictMap(
                KubeProxyNames.noEndpointNodePorts, [.protocol, .port],
                "vmap to drop or reject packets to service nodeports with no endpoints"),
            verdictMap(
                KubeProxyNames.serviceIPs, [.address, .protocol, .port],
                "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
            verdictMap(KubeProxyNames.serviceNodePorts, [.protocol, .port], "NodePort traffic"),
        ]
        if case .addresses = node.nodePorts {
            sets.append(
                NFTSet(
                    name: KubeProxyNames.nodePortIPs, comment: "IPs that accept NodePort traffic", key: [.address]))
        }
        return sets
    }

    private func verdictMap(_ name: String, _ key: [NFTType], _ comment: String) -> NFTSet {
        NFTSet(name: name, comment: comment, key: key, datum: .verdict)
    }
}

extension NFTField {
    /// The key of the maps of services.
    fileprivate static let serviceAddress: [NFTField] = [.destinationAddress, .transportProtocol, .destinationPort]
    /// The key of the maps of node ports.
    fileprivate static let serviceNodePort: [NFTField] = [.transportProtocol, .destinationPort]
    /// The key of connections that an endpoint has with itself.
    fileprivate static let hairpin: [NFTField] = [
        .sourceAddress, .destinationAddress, .transportProtocol, .destinationPort,
    ]
}

extension NodePlan.LocalDetector {
    /// A match for this cluster's pods, or for all others; nil if nothing tells them apart.
    func match(isNot: Bool) -> NFTStatement? {
        switch self {
        case .none: nil
        case .source(let cidr): .matchAddress(.sourceAddress, cidr, isNot: isNot)
        case .bridge(let name): .matchInterface(name, isNot: isNot)
        case .interfacePrefix(let prefix): .matchInterface("\(prefix)*", isNot: isNot)
        }
    }
}
