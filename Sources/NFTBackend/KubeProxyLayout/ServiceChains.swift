import ProxyCore

/// What a service port has in kube-proxy's table.
struct ServiceChains {
    let plan: ServicePlan
    let node: NodePlan

    private var name: ServicePortName { plan.name }
    private var transport: TransportProtocol { plan.name.protocol }

    private func chainName(_ pool: ServicePlan.Pool) -> String {
        KubeProxyName.own(pool == .cluster ? "service-" : "local-", name)
    }

    private var externalChain: String { KubeProxyName.own("external-", name) }
    private var firewallChain: String { KubeProxyName.own("firewall-", name) }

    // MARK: - Elements

    var elements: [NFTElement] {
        var elements = [NFTElement(set: KubeProxyName.clusterIPs, key: [.address(plan.clusterIP)])]
        elements += element(forAddress: plan.clusterIP, plan.internalTraffic, chain: internalChain)
        if let traffic = plan.externalTraffic {
            let chain = plan.hasEndpoints ? externalChain : nil
            for address in plan.externalIPs + plan.loadBalancerIPs {
                elements += element(forAddress: address, traffic.verdict, chain: chain)
            }
            if plan.nodePort != 0 {
                elements += element(
                    [.protocol(transport), .port(plan.nodePort)], traffic.verdict, chain: chain,
                    in: KubeProxyName.serviceNodePorts, orIn: KubeProxyName.noEndpointNodePorts)
            }
        }
        if plan.sourceRanges != nil {
            elements += plan.loadBalancerIPs.map {
                NFTElement(set: KubeProxyName.firewallIPs, key: key($0), datum: .verdict(.goto(firewallChain)))
            }
        }
        elements += plan.endpoints.filter { $0.roles.contains(.hairpin) }.map {
            NFTElement(
                set: KubeProxyName.hairpins,
                key: [.address($0.address), .address($0.address), .protocol(transport), .port($0.port)])
        }
        return elements
    }

    private func key(_ address: IPAddress) -> [NFTValue] {
        [.address(address), .protocol(transport), .port(plan.port)]
    }

    private var internalChain: String? {
        if case .balance(let pool) = plan.internalTraffic { chainName(pool) } else { nil }
    }

    private func element(
        forAddress address: IPAddress, _ verdict: ServicePlan.Verdict, chain: String?
    ) -> [NFTElement] {
        element(
            key(address), verdict, chain: chain, in: KubeProxyName.serviceIPs, orIn: KubeProxyName.noEndpointServices)
    }

    /// Where packets go, and what becomes of those that are refused.
    private func element(
        _ key: [NFTValue], _ verdict: ServicePlan.Verdict, chain: String?, in map: String, orIn refusals: String
    ) -> [NFTElement] {
        var elements: [NFTElement] = []
        if let chain { elements.append(NFTElement(set: map, key: key, datum: .verdict(.goto(chain)))) }
        let refusal: NFTVerdict? =
            switch verdict {
            case .balance: nil
            case .reject: .goto(KubeProxyName.reject)
            case .drop: .drop
            }
        if let refusal {
            elements.append(
                NFTElement(set: refusals, key: key, datum: .verdict(refusal), comment: name.description))
        }
        return elements
    }

    // MARK: - Chains

    var chains: [NFTChain] {
        var chains = pools.map { NFTChain(name: chainName($0), rules: rules(of: $0)) }
        if plan.externalTraffic != nil, plan.hasEndpoints {
            chains.append(NFTChain(name: externalChain, rules: externalRules))
        }
        if let ranges = plan.sourceRanges {
            let own = ranges.admitNode ? plan.loadBalancerIPs : []
            chains.append(
                NFTChain(
                    name: firewallChain,
                    rules: [
                        NFTRule(
                            .matchAddresses(.sourceAddress, ranges.cidrs, and: own, isNot: true), .verdict(.drop))
                    ]))
        }
        if plan.affinitySeconds != nil { chains += reachable.map(endpointChain) }
        return chains
    }

    /// The pools that traffic is spread over.
    private var pools: [ServicePlan.Pool] {
        var verdicts = [plan.internalTraffic]
        if let traffic = plan.externalTraffic {
            verdicts.append(traffic.verdict)
            if traffic.shortCircuitsLocalSources { verdicts.append(.balance(.cluster)) }
        }
        return [.cluster, .local].filter { verdicts.contains(.balance($0)) && !endpoints($0).isEmpty }
    }

    private func endpoints(_ pool: ServicePlan.Pool) -> [ServicePlan.Endpoint] {
        plan.endpoints.filter { $0.roles.contains(pool == .cluster ? .cluster : .local) }
    }

    private func rules(of pool: ServicePlan.Pool) -> [NFTRule] {
        let endpoints = endpoints(pool)
        guard plan.affinitySeconds != nil else {
            return [
                NFTRule(
                    .matchProtocol(transport),
                    .translateByRandom(endpoints.map { NFTEndpoint($0.address, $0.port) }))
            ]
        }
        let known = endpoints.map { endpoint in
            NFTRule(
                .matchSet([.sourceAddress], set: affinitySet(endpoint)), .verdict(.goto(endpointChainName(endpoint))))
        }
        return known + [NFTRule(.verdictOfRandom(endpoints.map { .goto(endpointChainName($0)) }))]
    }

    private var externalRules: [NFTRule] {
        guard let traffic = plan.externalTraffic else { return [] }
        let mark = NFTStatement.setMark(node.masqueradeMark)
        var rules: [NFTRule] = []
        if traffic.masquerades { rules.append(NFTRule(mark, comment: "masquerade")) }
        if traffic.shortCircuitsLocalSources {
            let toAll = NFTStatement.verdict(.goto(chainName(.cluster)))
            if let isPod = node.localSourceMatch(isNot: false) {
                rules.append(NFTRule(isPod, toAll, comment: "short-circuit pod traffic"))
            }
            let isNode = NFTStatement.matchLocal(.sourceAddressType)
            rules.append(NFTRule(isNode, mark, comment: "masquerade local traffic"))
            rules.append(NFTRule(isNode, toAll, comment: "short-circuit local traffic"))
        }
        if case .balance(let pool) = traffic.verdict { rules.append(NFTRule(.verdict(.goto(chainName(pool))))) }
        return rules
    }

    // MARK: - Affinity

    private var reachable: [ServicePlan.Endpoint] {
        plan.endpoints.filter { !$0.roles.isDisjoint(with: .reachable) }
    }

    private func affinitySet(_ endpoint: ServicePlan.Endpoint) -> String {
        KubeProxyName.own("affinity-", name, endpoint)
    }

    private func endpointChainName(_ endpoint: ServicePlan.Endpoint) -> String {
        KubeProxyName.own("endpoint-", name, endpoint)
    }

    /// The clients that each endpoint has had, for as long as the service's timeout.
    var sets: [NFTSet] {
        guard let seconds = plan.affinitySeconds else { return [] }
        return reachable.map {
            NFTSet(
                name: affinitySet($0), key: [.address], isDynamic: true, hasTimeouts: true, timeoutSeconds: seconds)
        }
    }

    private func endpointChain(_ endpoint: ServicePlan.Endpoint) -> NFTChain {
        NFTChain(
            name: endpointChainName(endpoint),
            rules: [
                NFTRule(.update(set: affinitySet(endpoint), key: [.sourceAddress])),
                NFTRule(.matchProtocol(transport), .translate(to: endpoint.address, port: endpoint.port)),
            ])
    }
}
