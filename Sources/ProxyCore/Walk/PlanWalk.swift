/// A packet's way through the plans of a node: what the rules made from them do to it.
///
/// A first packet is meant: there is no affinity to an earlier one.
public struct PlanWalk: Sendable {
    private struct Destination: Hashable {
        var `protocol`: TransportProtocol
        var address: IPAddress
        var port: UInt16
    }

    private struct NodePort: Hashable {
        var `protocol`: TransportProtocol
        var port: UInt16
    }

    /// A service port that has a packet's destination.
    struct Claim {
        var plan: Int
        var door: ServicePlan.Doors
    }

    /// A packet in the hooks.
    private struct Passage {
        var packet: Packet
        /// True if it asks for masquerade.
        var isMarked = false
        var isTranslated = false
    }

    let node: NodePlan
    let local: LocalAddresses
    private let serviceRanges: [CIDR]
    /// In the order of names, which is that of rules and elements.
    let plans: [ServicePlan]
    private var claims: [Destination: [Claim]] = [:]
    private var nodePorts: [NodePort: [Claim]] = [:]
    private var clusterIPs: Set<IPAddress> = []
    private(set) var healthCheckPorts: Set<UInt16> = []
    /// Of every service port.
    private(set) var serviceAddresses: Set<IPAddress> = []

    private var traits: ModeTraits { node.context.traits }

    /// - Parameters:
    ///   - local: the node's own addresses.
    ///   - serviceRanges: the cluster's ranges of cluster IPs.
    public init(node: NodePlan, plans: some Sequence<ServicePlan>, local: LocalAddresses, serviceRanges: [CIDR]) {
        self.node = node
        self.local = local
        self.serviceRanges = serviceRanges
        self.plans = plans.sorted { $0.name < $1.name }
        for (index, plan) in self.plans.enumerated() {
            clusterIPs.insert(plan.clusterIP)
            serviceAddresses.formUnion([plan.clusterIP] + plan.externalIPs + plan.loadBalancerIPs)
            open(plan.clusterIP, .clusterIP, of: index)
            for address in plan.externalIPs { open(address, .externalIP, of: index) }
            for address in plan.loadBalancerIPs { open(address, .loadBalancerIP, of: index) }
            if plan.nodePort != 0 {
                let key = NodePort(protocol: plan.name.protocol, port: plan.nodePort)
                nodePorts[key, default: []].append(Claim(plan: index, door: .nodePort))
            }
            if plan.healthCheckNodePort != 0 { healthCheckPorts.insert(plan.healthCheckNodePort) }
        }
    }

    private mutating func open(_ address: IPAddress, _ door: ServicePlan.Doors, of index: Int) {
        let name = plans[index].name
        let destination = Destination(protocol: name.protocol, address: address, port: plans[index].port)
        claims[destination, default: []].append(Claim(plan: index, door: door))
    }

    /// Where the packet ends. Its family must be the plans'. The order is of no meaning in ipvs mode.
    public func fate(of packet: Packet, order: WalkOrder) -> PacketFate {
        if traits.hasVirtualServers { return fateAtVirtualServer(of: packet) }
        let arrived = Passage(packet: packet)
        if let end = answer(to: arrived, traits.filter.beforeTranslation) {
            return PacketFate([.init(end, share: 1)])
        }
        guard let balance = translate(packet) else {
            let end = order == .host ? hostAnswer(to: arrived) : answer(to: arrived, traits.filter.tracer)
            return PacketFate([.init(end ?? .untouched, share: 1)])
        }
        let share = 1 / Double(balance.endpoints.count)
        return PacketFate(
            balance.endpoints.map { endpoint in
                let hairpin = endpoint.roles.contains(.hairpin) && endpoint.address == packet.source
                var masquerades = balance.masquerades || hairpin
                if order == .host {
                    var translated = Passage(packet: packet, isMarked: masquerades, isTranslated: true)
                    translated.packet.destination = endpoint.address
                    translated.packet.port = endpoint.port
                    switch hostAnswer(to: translated) {
                    case .reject: return .init(.reject, share: share)
                    case .drop: return .init(.drop, share: share)
                    default: break
                    }
                    // What comes in and stays on the node passes no POSTROUTING.
                    masquerades = masquerades && (local.contains(packet.source) || !local.contains(endpoint.address))
                }
                return .init(
                    .endpoint(endpoint.address, port: endpoint.port), share: share,
                    source: masquerades ? .masqueraded : .unchanged)
            })
    }

    /// The service ports that have the packet's destination as an address and port of theirs.
    func claims(on packet: Packet) -> [Claim] {
        claims[Destination(protocol: packet.protocol, address: packet.destination, port: packet.port)] ?? []
    }

    /// The service ports that have the packet's port as their node port.
    func nodePortClaims(on packet: Packet) -> [Claim] {
        nodePorts[NodePort(protocol: packet.protocol, port: packet.port)] ?? []
    }
}

// MARK: - Translation

extension PlanWalk {
    private struct Balance {
        var endpoints: [ServicePlan.Endpoint]
        var masquerades: Bool
    }

    /// The endpoints that the packet is spread over; nil if it keeps its destination.
    private func translate(_ packet: Packet) -> Balance? {
        let isForNodePort = local.contains(packet.destination) && node.servesNodePorts(on: packet.destination)
        for claims in [claims(on: packet), isForNodePort ? nodePortClaims(on: packet) : []] {
            switch traits.sharedDestination {
            case .firstThatTakes:
                for claim in claims {
                    if let balance = balance(claim, packet) { return balance }
                }
            case .last:
                // An element leads the packet away from all later rules, whatever becomes of it.
                if let claim = claims.last(where: leadsAway) { return balance(claim, packet) }
            }
        }
        return nil
    }

    /// True if packets to the claim's destination are led to chains of the service port.
    private func leadsAway(_ claim: Claim) -> Bool {
        let plan = plans[claim.plan]
        return claim.door == .clusterIP ? plan.internalTraffic.refusal == nil : plan.hasEndpoints
    }

    private func balance(_ claim: Claim, _ packet: Packet) -> Balance? {
        let plan = plans[claim.plan]
        if claim.door == .clusterIP { return internalBalance(plan, packet) }
        let isAdmitted =
            claim.door != .loadBalancerIP || traits.filter.beforeTranslation.contains(.sourceRanges)
            || admits(plan, packet.source)
        return isAdmitted ? externalBalance(plan, packet) : nil
    }

    private func internalBalance(_ plan: ServicePlan, _ packet: Packet) -> Balance? {
        guard case .balance(let pool) = plan.internalTraffic else { return nil }
        let masquerades =
            switch plan.internalMasquerade {
            case .nobody: false
            case .everybody: true
            case .notLocal: isFromPod(packet) == false
            }
        return balance(plan, pool, masquerades: masquerades)
    }

    private func externalBalance(_ plan: ServicePlan, _ packet: Packet) -> Balance? {
        guard plan.hasEndpoints, let external = plan.externalTraffic else { return nil }
        if external.shortCircuitsLocalSources {
            if isFromPod(packet) == true { return balance(plan, .cluster, masquerades: external.masquerades) }
            if local.contains(packet.source) { return balance(plan, .cluster, masquerades: true) }
        }
        guard case .balance(let pool) = external.verdict else { return nil }
        return balance(plan, pool, masquerades: external.masquerades)
    }

    private func balance(_ plan: ServicePlan, _ pool: ServicePlan.Pool, masquerades: Bool) -> Balance? {
        let role: ServicePlan.Endpoint.Roles = pool == .cluster ? .cluster : .local
        let endpoints = plan.endpoints.filter { $0.roles.contains(role) }
        return endpoints.isEmpty ? nil : Balance(endpoints: endpoints, masquerades: masquerades)
    }

    /// True if the source ranges let the source use the load-balancer IPs.
    func admits(_ plan: ServicePlan, _ source: IPAddress) -> Bool {
        guard let ranges = plan.sourceRanges else { return true }
        return ranges.cidrs.contains { $0.contains(source) }
            || ranges.admitNode && plan.loadBalancerIPs.contains(source)
    }

    /// Nil if nothing tells pods from others, or if the interface that would tell is not known.
    func isFromPod(_ packet: Packet) -> Bool? {
        switch node.localDetector {
        case .none: nil
        case .source(let cidr): cidr.contains(packet.source)
        case .bridge(let name): isFrom(packet) { $0 == name }
        case .interfacePrefix(let prefix): isFrom(packet) { $0.hasPrefix(prefix) }
        }
    }

    private func isFrom(_ packet: Packet, _ matches: (String) -> Bool) -> Bool? {
        // The node's own packets come in by no interface.
        local.contains(packet.source) ? false : packet.inInterface.map(matches)
    }
}

// MARK: - Filter

extension PlanWalk {
    /// The answer of the filter chains of the hooks that a packet comes by.
    private func hostAnswer(to passage: Passage) -> PacketFate.End? {
        let filter = traits.filter
        let isToNode = local.contains(passage.packet.destination)
        guard local.contains(passage.packet.source) else {
            return answer(to: passage, isToNode ? filter.input : filter.forward)
        }
        if let end = answer(to: passage, filter.output) { return end }
        // A packet of the node to itself comes in as well.
        return isToNode ? answer(to: passage, filter.beforeTranslation + filter.input) : nil
    }

    private func answer(to passage: Passage, _ checks: [FilterChecks.Check]) -> PacketFate.End? {
        for check in checks {
            if let end = answer(to: passage, check) { return end }
        }
        return nil
    }

    private func answer(to passage: Passage, _ check: FilterChecks.Check) -> PacketFate.End? {
        let packet = passage.packet
        switch check {
        case .loopback:
            let isGuarded = node.guardsLoopback && packet.destination.isLoopback && !packet.source.isLoopback
            return isGuarded && !passage.isTranslated ? .drop : nil
        case .sourceRanges:
            guard let owner = claims(on: packet).last(where: isGuarded) else { return nil }
            return admits(plans[owner.plan], packet.source) ? nil : .drop
        case .guardedLoadBalancerIPs: return claims(on: packet).contains(where: isGuarded) ? .drop : nil
        case .refusals(let doors): return refusal(of: packet, at: doors)
        case .healthChecks: return packet.protocol == .tcp && healthCheckPorts.contains(packet.port) ? .accept : nil
        case .masqueraded: return passage.isMarked ? .accept : nil
        case .clusterIPs:
            if clusterIPs.contains(packet.destination) { return .reject }
            return serviceRanges.contains { $0.contains(packet.destination) } ? .drop : nil
        }
    }

    func isGuarded(_ claim: Claim) -> Bool {
        claim.door == .loadBalancerIP && plans[claim.plan].sourceRanges != nil
    }

    private func refusal(of packet: Packet, at doors: ServicePlan.Doors) -> PacketFate.End? {
        var claims = claims(on: packet).filter { doors.contains($0.door) }
        if doors.contains(.nodePort), refusesNodePorts(on: packet.destination) {
            claims += nodePortClaims(on: packet)
        }
        let refusals = claims.sorted { $0.plan < $1.plan }.compactMap { claim in
            let plan = plans[claim.plan]
            return claim.door == .clusterIP ? plan.internalTraffic.refusal : plan.externalTraffic?.verdict.refusal
        }
        return traits.sharedDestination == .last ? refusals.last : refusals.first
    }

    /// Rules ask for an address of the node, or for one that serves node ports: no other comes to their hook.
    private func refusesNodePorts(on address: IPAddress) -> Bool {
        traits.refusesNodePortsEverywhere ? local.contains(address) : node.servesNodePorts(on: address)
    }
}

extension ServicePlan.Verdict {
    fileprivate var refusal: PacketFate.End? {
        switch self {
        case .balance: nil
        case .reject: .reject
        case .drop: .drop
        }
    }
}
