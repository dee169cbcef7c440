import ProxyCore

// What only services with affinity have: chains and ids of their own.
extension ServiceEntry {
    /// The chain that balances over a pool.
    private func chain(_ pool: ServicePlan.Pool) -> String {
        SharedMapsName.own(pool == .cluster ? "service-" : "local-", plan.name)
    }

    var externalChain: String { SharedMapsName.own("external-", plan.name) }

    var internalChain: String { chain(plan.internalTraffic == .balance(.local) ? .local : .cluster) }

    /// The pools that its chains balance over, where they have endpoints.
    var affinityPools: [ServicePlan.Pool] {
        guard ids != nil else { return [] }
        var verdicts = [plan.internalTraffic]
        if let traffic = plan.externalTraffic {
            verdicts.append(traffic.verdict)
            if traffic.shortCircuitsLocalSources { verdicts.append(.balance(.cluster)) }
        }
        return [ServicePlan.Pool.cluster, .local].filter { verdicts.contains(.balance($0)) && size($0) != nil }
    }

    func affinityKinds(_ pool: ServicePlan.Pool) -> [TreatmentKind] {
        guard let size = size(pool), let timeout else { return [] }
        return [
            .sticky(pool, plan.name.protocol, size, timeout), .resticky(pool, plan.name.protocol, size, timeout),
        ]
    }

    private var timeout: AffinityTimeout? { plan.affinitySeconds.map(AffinityTimeout.init) }

    /// Its own chains.
    func chains(_ node: NodePlan) -> [NFTChain] {
        guard let ids else { return [] }
        let pools = affinityPools
        let service = NFTStatement.setAddress(.destinationAddress, .constant(ids.service.address(plan.family)))
        var chains = pools.map { pool in
            let kinds = affinityKinds(pool)
            // The first returns where the endpoint that it remembers is gone.
            return NFTChain(
                name: chain(pool),
                rules: zip(kinds, [NFTVerdict.jump, NFTVerdict.goto]).map { kind, verdict in
                    NFTRule(service, .verdict(verdict(kind.name)))
                })
        }
        if let rules = externalRules(node, pools) { chains.append(NFTChain(name: externalChain, rules: rules)) }
        return chains
    }

    private func externalRules(_ node: NodePlan, _ pools: [ServicePlan.Pool]) -> [NFTRule]? {
        guard let traffic = plan.externalTraffic else { return nil }
        if traffic.shortCircuitsLocalSources, pools.contains(.cluster) {
            let rules = TreatmentKind.shortCircuits(node, to: chain(.cluster))
            guard traffic.verdict == .balance(.local), pools.contains(.local) else { return rules }
            return rules + [NFTRule(.verdict(.goto(chain(.local))))]
        }
        guard case .balance(let pool) = traffic.verdict, pools.contains(pool) else { return nil }
        let onward = NFTStatement.verdict(.goto(chain(pool)))
        return [traffic.masquerades ? NFTRule(.setMark(node.masqueradeMark), onward) : NFTRule(onward)]
    }

    /// Its picks and the ids of its endpoints.
    var affinityElements: [NFTElement] {
        guard let ids else { return [] }
        var elements: [NFTElement] = []
        let service = NFTValue.address(ids.service.address(plan.family))
        for pool in affinityPools {
            let role: ServicePlan.Endpoint.Roles = pool == .cluster ? .cluster : .local
            let members = zip(plan.endpoints, ids.endpoints).lazy.filter { $0.0.roles.contains(role) }
            for (index, (endpoint, id)) in members.prefix(ListSize.limit).enumerated() {
                let address = NFTValue.address(id.address(plan.family))
                elements.append(
                    NFTElement(
                        set: SharedMapsName.picks, key: [service, .number(pool.offset + UInt32(index))],
                        datum: .values([address])))
                elements.append(
                    NFTElement(
                        set: SharedMapsName.endpointIDs(pool), key: [address],
                        datum: .values(NFTEndpoint(endpoint.address, endpoint.port).values)))
            }
        }
        return elements
    }
}
