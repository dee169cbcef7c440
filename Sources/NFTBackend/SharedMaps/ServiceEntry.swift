import ProxyCore

/// A service port as the layout has it: its plan, and its ids if it has affinity. All that it needs in the kernel
/// follows from these two, so nothing else is kept.
struct ServiceEntry {
    let plan: ServicePlan
    /// Nil without affinity.
    let ids: AffinityIDs?

    /// What packets to one kind of destination meet.
    private struct Treatment {
        /// The pools that are picked from under the destination's own key, at the places of these pools.
        var cluster: [NFTEndpoint] = []
        var local: [NFTEndpoint] = []
        var kind: TreatmentKind?
        var refusal: NFTVerdict?
    }

    private static let rejection = NFTVerdict.goto(SharedMapsName.reject)

    // MARK: - Endpoints

    private func endpoints(_ pool: ServicePlan.Pool) -> [NFTEndpoint] {
        var list: [NFTEndpoint] = []
        let role: ServicePlan.Endpoint.Roles = pool == .cluster ? .cluster : .local
        for endpoint in plan.endpoints where endpoint.roles.contains(role) {
            guard list.count < ListSize.limit else { break }
            list.append(NFTEndpoint(endpoint.address, endpoint.port))
        }
        return list
    }

    func size(_ pool: ServicePlan.Pool) -> ListSize? {
        let role: ServicePlan.Endpoint.Roles = pool == .cluster ? .cluster : .local
        return ListSize(count: plan.endpoints.reduce(0) { $0 + ($1.roles.contains(role) ? 1 : 0) })
    }

    // MARK: - Doors

    /// Its doors; one can come twice.
    var doorKeys: [Door] {
        let transport = plan.name.protocol
        var doors = [Door.address(plan.clusterIP, transport, plan.port)]
        guard plan.externalTraffic != nil else { return doors }
        doors += (plan.externalIPs + plan.loadBalancerIPs).map { .address($0, transport, plan.port) }
        if plan.nodePort != 0 { doors.append(.nodePort(transport, plan.nodePort)) }
        return doors
    }

    /// What stands under each of its doors, each door once.
    func doors(_ options: SharedMapsTable.Options) -> [(door: Door, content: DoorContent)] {
        var doors: [(door: Door, content: DoorContent)] = []
        func open(_ door: Door, _ content: DoorContent) {
            if let index = doors.firstIndex(where: { $0.door == door }) {
                doors[index].content.override(by: content)
            } else {
                doors.append((door, content))
            }
        }
        let counter = options.perServiceCounters ? SharedMapsName.counter(plan.name) : nil
        func address(_ address: IPAddress) -> Door { .address(address, plan.name.protocol, plan.port) }

        var inside = content(internalTreatment, chain: internalChain)
        inside.counter = counter
        open(address(plan.clusterIP), inside)
        if let treatment = externalTreatment(.address) {
            var outside = content(treatment, chain: externalChain)
            outside.counter = counter
            for ip in plan.externalIPs { open(address(ip), outside) }
            outside.firewall = firewall.map { .init(chain: $0.name, service: plan.name) }
            for ip in plan.loadBalancerIPs { open(address(ip), outside) }
        }
        if plan.nodePort != 0, let treatment = externalTreatment(.nodePort) {
            var outside = content(treatment, chain: externalChain)
            outside.counter = counter
            open(.nodePort(plan.name.protocol, plan.nodePort), outside)
        }
        return doors
    }

    /// - Parameter chain: what takes the place of the kind for a service with affinity.
    private func content(_ treatment: Treatment, chain: @autoclosure () -> String) -> DoorContent {
        var content = DoorContent()
        content.refusal = treatment.refusal.map { .init(verdict: $0, service: plan.name) }
        guard let kind = treatment.kind else { return content }
        content.dispatch =
            ids == nil
            ? .init(chain: kind.name, service: plan.name, cluster: treatment.cluster, local: treatment.local)
            : .init(chain: chain(), service: plan.name)
        return content
    }

    private var internalTreatment: Treatment {
        switch plan.internalTraffic {
        case .balance(let pool):
            // The list of policy Local stands at index 0 as well here: no other list is under the cluster IP.
            size(pool).map {
                Treatment(cluster: endpoints(pool), kind: .pick(.address, plan.name.protocol, $0))
            } ?? Treatment(refusal: Self.rejection)
        case .reject: Treatment(refusal: Self.rejection)
        case .drop: Treatment(refusal: .drop)
        }
    }

    private func externalTreatment(_ entrance: Entrance) -> Treatment? {
        guard let traffic = plan.externalTraffic else { return nil }
        let transport = plan.name.protocol
        if traffic.shortCircuitsLocalSources, let size = size(.cluster) {
            let local = traffic.verdict == .balance(.local) ? self.size(.local) : nil
            return Treatment(
                cluster: endpoints(.cluster), local: local == nil ? [] : endpoints(.local),
                kind: .policyLocal(entrance, transport, size, local: local), refusal: local == nil ? .drop : nil)
        }
        switch traffic.verdict {
        case .balance(let pool):
            guard let size = size(pool) else { return Treatment(refusal: Self.rejection) }
            return Treatment(
                cluster: endpoints(pool),
                kind: traffic.masquerades ? .masquerade(entrance, transport, size) : .pick(entrance, transport, size))
        case .reject: return Treatment(refusal: Self.rejection)
        case .drop: return Treatment(refusal: .drop)
        }
    }

    private var firewall: TreatmentKind? {
        plan.sourceRanges.map { .firewall(SourceList($0, loadBalancerIPs: plan.loadBalancerIPs)) }
    }

    /// The endpoints that are masqueraded where they reach themselves.
    var hairpins: [Hairpin] {
        plan.endpoints.lazy.filter { $0.roles.contains(.hairpin) }
            .map { Hairpin(address: $0.address, transport: plan.name.protocol, port: $0.port) }
    }

    // MARK: - Kinds

    /// Every kind that it needs, each once.
    var kinds: [TreatmentKind] {
        var direct: [TreatmentKind] = []
        if let firewall, !plan.loadBalancerIPs.isEmpty { direct.append(firewall) }
        if ids == nil {
            if let kind = internalTreatment.kind { direct.append(kind) }
            if !plan.externalIPs.isEmpty || !plan.loadBalancerIPs.isEmpty {
                if let kind = externalTreatment(.address)?.kind { direct.append(kind) }
            }
            if plan.nodePort != 0, let kind = externalTreatment(.nodePort)?.kind { direct.append(kind) }
        } else {
            for pool in affinityPools { direct += affinityKinds(pool) }
        }
        var kinds: [TreatmentKind] = []
        for kind in direct.flatMap(\.withDependencies) where !kinds.contains(kind) { kinds.append(kind) }
        return kinds
    }
}

/// A connection of an endpoint to itself through a service.
struct Hairpin: Hashable {
    let address: IPAddress
    let transport: TransportProtocol
    let port: UInt16

    var element: NFTElement {
        NFTElement(
            set: SharedMapsName.hairpins,
            key: [.address(address), .address(address), .protocol(transport), .port(port)])
    }
}
