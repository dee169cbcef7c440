import ProxyCore

/// What is in kube-proxy's table whatever services there are.
struct SharedChains {
    let node: NodePlan
    let serviceRanges: [CIDR]

    private static let destination: [NFTField] = [.destinationAddress, .transportProtocol, .destinationPort]
    private static let nodePort: [NFTField] = [.transportProtocol, .destinationPort]

    var sets: [NFTSet] {
        let destination: [NFTType] = [.address, .protocol, .port]
        var sets = [
            NFTSet(name: KubeProxyName.clusterIPs, comment: "Active ClusterIPs", key: [.address]),
            NFTSet(
                name: KubeProxyName.hairpins, comment: "service hairpin connections",
                key: [.address, .address, .protocol, .port]),
            NFTSet(
                name: KubeProxyName.firewallIPs,
                comment: "destinations that are subject to LoadBalancerSourceRanges", key: destination,
                datum: .verdict),
            NFTSet(
                name: KubeProxyName.noEndpointNodePorts,
                comment: "vmap to drop or reject packets to service nodeports with no endpoints",
                key: [.protocol, .port], datum: .verdict),
            NFTSet(
                name: KubeProxyName.noEndpointServices,
                comment: "vmap to drop or reject packets to services with no endpoints", key: destination,
                datum: .verdict),
            NFTSet(
                name: KubeProxyName.serviceIPs, comment: "ClusterIP, ExternalIP and LoadBalancer IP traffic",
                key: destination, datum: .verdict),
            NFTSet(
                name: KubeProxyName.serviceNodePorts, comment: "NodePort traffic", key: [.protocol, .port],
                datum: .verdict),
        ]
        if case .addresses = node.nodePorts {
            sets.append(
                NFTSet(name: KubeProxyName.nodePortIPs, comment: "IPs that accept NodePort traffic", key: [.address]))
        }
        return sets
    }

    var elements: [NFTElement] {
        guard case .addresses(let addresses) = node.nodePorts else { return [] }
        return addresses.map { NFTElement(set: KubeProxyName.nodePortIPs, key: [.address($0)]) }
    }

    var chains: [NFTChain] { baseChains + calledChains }

    private var baseChains: [NFTChain] {
        func check(_ chain: String) -> NFTRule { NFTRule(.matchNewConnection, .verdict(.jump(chain))) }
        let filter = [
            ("filter-prerouting-pre-dnat", NFTChain.Hook.Point.prerouting, Int32(-110), [KubeProxyName.firewallCheck]),
            ("filter-output-pre-dnat", .output, -110, [KubeProxyName.firewallCheck]),
            (
                "filter-input", .input, 0,
                [KubeProxyName.nodePortEndpointsCheck, KubeProxyName.serviceEndpointsCheck]
            ),
            ("filter-forward", .forward, 0, [KubeProxyName.serviceEndpointsCheck, KubeProxyName.clusterIPsCheck]),
            ("filter-output", .output, 0, [KubeProxyName.serviceEndpointsCheck, KubeProxyName.clusterIPsCheck]),
        ]
        let nat = [
            ("nat-prerouting", NFTChain.Hook.Point.prerouting, Int32(-100), KubeProxyName.services),
            ("nat-output", .output, -100, KubeProxyName.services),
            ("nat-postrouting", .postrouting, 100, KubeProxyName.masquerading),
        ]
        return filter.map { name, point, priority, targets in
            NFTChain(name: name, hook: .init(.filter, point, priority: priority), rules: targets.map(check))
        }
            + nat.map { name, point, priority, target in
                NFTChain(
                    name: name, hook: .init(.nat, point, priority: priority),
                    rules: [NFTRule(.verdict(.jump(target)))])
            }
    }

    private var calledChains: [NFTChain] {
        let masquerade = NFTStatement.masquerade(fullyRandom: node.masqueradesRandomly)
        let hairpin: [NFTField] = [.sourceAddress, .destinationAddress, .transportProtocol, .destinationPort]
        return [
            NFTChain(name: KubeProxyName.services, rules: services),
            NFTChain(
                name: KubeProxyName.masquerading,
                rules: [
                    NFTRule(.matchMark(node.masqueradeMark), .invertMark(node.masqueradeMark), masquerade),
                    NFTRule(.matchTranslated, .matchSet(hairpin, set: KubeProxyName.hairpins), masquerade),
                ]),
            NFTChain(
                name: KubeProxyName.reject, comment: "helper for @no-endpoint-services / @no-endpoint-nodeports",
                rules: [NFTRule(.reject)]),
            NFTChain(
                name: KubeProxyName.firewallCheck,
                rules: [NFTRule(.verdictMap(Self.destination, map: KubeProxyName.firewallIPs))]),
            NFTChain(
                name: KubeProxyName.serviceEndpointsCheck,
                rules: [NFTRule(.verdictMap(Self.destination, map: KubeProxyName.noEndpointServices))]),
            NFTChain(
                name: KubeProxyName.nodePortEndpointsCheck,
                rules: [
                    NFTRule(
                        nodePortMatch + [.verdictMap(Self.nodePort, map: KubeProxyName.noEndpointNodePorts)])
                ]),
            NFTChain(name: KubeProxyName.clusterIPsCheck, rules: clusterIPGuards),
        ]
    }

    private var services: [NFTRule] {
        var rules: [NFTRule] = []
        let isClusterIP = NFTStatement.matchSet([.destinationAddress], set: KubeProxyName.clusterIPs)
        let mark = NFTStatement.setMark(node.masqueradeMark)
        if node.context.masqueradeAll {
            rules.append(NFTRule(isClusterIP, mark, comment: "masquerade all clusterIP traffic"))
        } else if let foreign = node.localSourceMatch(isNot: true) {
            rules.append(
                NFTRule(
                    isClusterIP, foreign, mark, comment: "masquerade clusterIP traffic from outside cluster"))
        }
        rules.append(NFTRule(.verdictMap(Self.destination, map: KubeProxyName.serviceIPs)))
        let isLocal: [NFTStatement] =
            if case .everyLocalAddress = node.nodePorts { [.matchLocal(.destinationAddressType)] } else { [] }
        rules.append(
            NFTRule(isLocal + nodePortMatch + [.verdictMap(Self.nodePort, map: KubeProxyName.serviceNodePorts)]))
        return rules
    }

    private var nodePortMatch: [NFTStatement] { node.nodePortMatch(set: KubeProxyName.nodePortIPs) }

    private var clusterIPGuards: [NFTRule] {
        let reject = NFTRule(
            .matchSet([.destinationAddress], set: KubeProxyName.clusterIPs), .reject,
            comment: "Reject traffic to invalid ports of ClusterIPs")
        guard !serviceRanges.isEmpty else { return [reject] }
        return [
            reject,
            NFTRule(
                .matchAddresses(.destinationAddress, serviceRanges), .verdict(.drop),
                comment: "Drop traffic to unallocated ClusterIPs"),
        ]
    }
}
