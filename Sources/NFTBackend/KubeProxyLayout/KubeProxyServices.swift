import ProxyCore

/// Collects the chains, sets and elements of service ports.
struct KubeProxyServices {
    let node: NodePlan
    private(set) var chains: [NFTChain] = []
    private(set) var affinitySets: [NFTSet] = []
    private(set) var elements = KubeProxyElements()

    init(node: NodePlan) {
        self.node = node
    }

    /// Adds the addresses on which node ports are served.
    mutating func addNodeAddresses() {
        guard case .addresses(let addresses) = node.nodePorts else { return }
        for address in addresses {
            elements.add(NFTElement(set: KubeProxyNames.nodePortIPs, key: [.address(address)]))
        }
    }

    /// Adds a service port. The order of calls is the order of elements.
    mutating func add(_ plan: ServicePlan) {
        let name = KubeProxyChainName(plan.name)
        elements.add(NFTElement(set: KubeProxyNames.clusterIPs, key: [.address(plan.clusterIP)]))
        addClusterIP(plan, name)
        addExternal(plan, name)
        addFirewall(plan, name)
        addEndpoints(plan, name)
    }

    // MARK: Where services are found

    private mutating func addClusterIP(_ plan: ServicePlan, _ name: KubeProxyChainName) {
        switch plan.internalTraffic {
        case .balance(let pool):
            add(plan, at: plan.clusterIP, to: KubeProxyNames.serviceIPs, .goto(name.chain(of: pool)))
        case .reject, .drop: addRefusal(of: plan, at: plan.clusterIP, plan.internalTraffic)
        }
    }

    private mutating func addExternal(_ plan: ServicePlan, _ name: KubeProxyChainName) {
        guard let external = plan.externalTraffic else { return }
        for address in plan.externalIPs + plan.loadBalancerIPs {
            if plan.hasEndpoints { add(plan, at: address, to: KubeProxyNames.serviceIPs, .goto(name.external)) }
            addRefusal(of: plan, at: address, external.verdict)
        }
        if plan.nodePort != 0 {
            let key: [NFTValue] = [.protocol(plan.name.protocol), .port(plan.nodePort)]
            if plan.hasEndpoints {
                elements.add(
                    NFTElement(set: KubeProxyNames.serviceNodePorts, key: key, datum: .verdict(.goto(name.external))))
            }
            if let refusal = external.verdict.refusal {
                elements.add(
                    NFTElement(
                        set: KubeProxyNames.noEndpointNodePorts, key: key, datum: .verdict(refusal),
                        comment: plan.name.description))
            }
        }
        if plan.hasEndpoints { chains.append(NFTChain(name: name.external, rules: rules(of: external, name))) }
    }

    private mutating func addRefusal(of plan: ServicePlan, at address: IPAddress, _ verdict: ServicePlan.Verdict) {
        guard let refusal = verdict.refusal else { return }
        add(plan, at: address, to: KubeProxyNames.noEndpointServices, refusal, comment: plan.name.description)
    }

    private mutating func add(
        _ plan: ServicePlan, at address: IPAddress, to map: String, _ verdict: NFTVerdict, comment: String? = nil
    ) {
        elements.add(
            NFTElement(
                set: map, key: [.address(address), .protocol(plan.name.protocol), .port(plan.port)],
                datum: .verdict(verdict), comment: comment))
    }

    // MARK: Chains of the service port

    private func rules(of external: ServicePlan.ExternalTraffic, _ name: KubeProxyChainName) -> [NFTRule] {
        let mark = NFTStatement.setMark(node.masqueradeMark)
        var rules: [NFTRule] = []
        if external.masquerades { rules.append(NFTRule(mark, comment: "masquerade")) }
        if external.shortCircuitsLocalSources {
            if let isLocal = node.localDetector.match(isNot: false) {
                rules.append(
                    NFTRule(isLocal, .verdict(.goto(name.service)), comment: "short-circuit pod traffic"))
            }
            // The node's own packets can have a service's address as their source: replies must come back here.
            let isNode = NFTStatement.matchLocal(.sourceAddressType)
            rules.append(NFTRule(isNode, mark, comment: "masquerade local traffic"))
            rules.append(NFTRule(isNode, .verdict(.goto(name.service)), comment: "short-circuit local traffic"))
        }
        if case .balance(let pool) = external.verdict {
            rules.append(NFTRule(.verdict(.goto(name.chain(of: pool)))))
        }
        return rules
    }

    private mutating func addFirewall(_ plan: ServicePlan, _ name: KubeProxyChainName) {
        guard let ranges = plan.sourceRanges else { return }
        for address in plan.loadBalancerIPs {
            add(plan, at: address, to: KubeProxyNames.firewallIPs, .goto(name.firewall))
        }
        // A load-balancer IP is often an address of the node, which then speaks to it from that address.
        let sources = NFTStatement.matchAddresses(
            .sourceAddress, ranges.cidrs, and: ranges.admitNode ? plan.loadBalancerIPs : [], isNot: true)
        chains.append(NFTChain(name: name.firewall, rules: [NFTRule(sources, .verdict(.drop))]))
    }

    private mutating func addEndpoints(_ plan: ServicePlan, _ name: KubeProxyChainName) {
        for endpoint in plan.endpoints where endpoint.roles.contains(.hairpin) {
            elements.add(
                NFTElement(
                    set: KubeProxyNames.hairpinConnections,
                    key: [
                        .address(endpoint.address), .address(endpoint.address), .protocol(plan.name.protocol),
                        .port(endpoint.port),
                    ]))
        }
        for pool in [ServicePlan.Pool.cluster, .local] {
            let role: ServicePlan.Endpoint.Roles = pool == .cluster ? .cluster : .local
            let members = plan.endpoints.filter { $0.roles.contains(role) }
            guard !members.isEmpty else { continue }
            chains.append(
                NFTChain(
                    name: name.chain(of: pool),
                    rules: plan.affinitySeconds == nil
                        ? [Self.spread(over: members, plan.name.protocol)]
                        : Self.spreadWithAffinity(over: members, name)))
        }
        guard let seconds = plan.affinitySeconds else { return }
        for endpoint in plan.endpoints where !endpoint.roles.isDisjoint(with: .reachable) {
            addAffinity(of: endpoint, plan.name.protocol, seconds: seconds, name)
        }
    }

    private static func spread(
        over endpoints: [ServicePlan.Endpoint], _ transport: TransportProtocol
    ) -> NFTRule {
        // nft takes a port only where the protocol is known.
        NFTRule(
            .matchProtocol(transport), .translateByRandom(endpoints.map { NFTEndpoint($0.address, $0.port) }))
    }

    private static func spreadWithAffinity(
        over endpoints: [ServicePlan.Endpoint], _ name: KubeProxyChainName
    ) -> [NFTRule] {
        let names = endpoints.map { name.of($0) }
        let known = names.map {
            NFTRule(.matchSet([.sourceAddress], set: $0.affinity), .verdict(.goto($0.endpoint)))
        }
        return known + [NFTRule(.verdictOfRandom(names.map { .goto($0.endpoint) }))]
    }

    private mutating func addAffinity(
        of endpoint: ServicePlan.Endpoint, _ transport: TransportProtocol, seconds: Int, _ name: KubeProxyChainName
    ) {
        let own = name.of(endpoint)
        affinitySets.append(
            NFTSet(
                name: own.affinity, key: [.address], isDynamic: true, hasTimeouts: true, timeoutSeconds: seconds))
        chains.append(
            NFTChain(
                name: own.endpoint,
                rules: [
                    NFTRule(.update(set: own.affinity, key: [.sourceAddress])),
                    NFTRule(.matchProtocol(transport), .translate(to: endpoint.address, port: endpoint.port)),
                ]))
    }
}

extension ServicePlan.Verdict {
    /// What ends the way of a packet; nil where it goes to an endpoint.
    fileprivate var refusal: NFTVerdict? {
        switch self {
        case .balance: nil
        case .reject: .goto(KubeProxyNames.reject)
        case .drop: .drop
        }
    }
}
