/// A packet's way through the plans of a node: what the rules made from them do to it.
///
/// Follows the rules of iptables mode. A first packet is meant: there is no affinity to an earlier one.
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

    /// What a service port is reached by.
    private enum Door {
        case clusterIP, externalIP, loadBalancerIP
    }

    private let node: NodePlan
    private let local: LocalAddresses
    /// In the order of rules: where two services have one destination, the first that takes the packet has it.
    private let plans: [ServicePlan]
    private var doors: [Destination: [(plan: Int, door: Door)]] = [:]
    private var nodePorts: [NodePort: [Int]] = [:]
    private var healthCheckPorts: Set<UInt16> = []

    /// - Parameter local: the node's own addresses.
    public init(node: NodePlan, plans: some Sequence<ServicePlan>, local: LocalAddresses) {
        self.node = node
        self.local = local
        self.plans = plans.sorted { $0.name < $1.name }
        for (index, plan) in self.plans.enumerated() {
            open(plan.clusterIP, .clusterIP, of: index)
            for address in plan.externalIPs { open(address, .externalIP, of: index) }
            for address in plan.loadBalancerIPs { open(address, .loadBalancerIP, of: index) }
            if plan.nodePort != 0 {
                nodePorts[NodePort(protocol: plan.name.protocol, port: plan.nodePort), default: []].append(index)
            }
            if plan.healthCheckNodePort != 0 { healthCheckPorts.insert(plan.healthCheckNodePort) }
        }
    }

    private mutating func open(_ address: IPAddress, _ door: Door, of index: Int) {
        let name = plans[index].name
        let destination = Destination(protocol: name.protocol, address: address, port: plans[index].port)
        doors[destination, default: []].append((index, door))
    }

    /// Where the packet ends. Its family must be the plans'.
    public func fate(of packet: Packet, order: WalkOrder) -> PacketFate {
        guard let balance = translate(packet) else {
            let end = order == .host ? hostFilter(packet, marked: false, translated: false) : tracerFilter(packet)
            return PacketFate([.init(end ?? .untouched, share: 1)])
        }
        let share = 1 / Double(balance.endpoints.count)
        return PacketFate(
            balance.endpoints.map { endpoint in
                let hairpin = endpoint.roles.contains(.hairpin) && endpoint.address == packet.source
                var masquerades = balance.masquerades || hairpin
                if order == .host {
                    var translated = packet
                    translated.destination = endpoint.address
                    translated.port = endpoint.port
                    switch hostFilter(translated, marked: masquerades, translated: true) {
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

    private func doors(to packet: Packet) -> [(plan: Int, door: Door)] {
        doors[Destination(protocol: packet.protocol, address: packet.destination, port: packet.port)] ?? []
    }

    /// The service ports that have the packet's port as their node port.
    private func nodePorts(to packet: Packet) -> [Int] {
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
        for (index, door) in doors(to: packet) {
            let plan = plans[index]
            let balance: Balance? =
                switch door {
                case .clusterIP: internalBalance(plan, packet)
                case .loadBalancerIP where !admits(plan, packet.source): nil
                case .externalIP, .loadBalancerIP: externalBalance(plan, packet)
                }
            if let balance { return balance }
        }
        guard servesNodePorts(on: packet.destination) else { return nil }
        for index in nodePorts(to: packet) {
            if let balance = externalBalance(plans[index], packet) { return balance }
        }
        return nil
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
    private func admits(_ plan: ServicePlan, _ source: IPAddress) -> Bool {
        guard let ranges = plan.sourceRanges else { return true }
        return ranges.cidrs.contains { $0.contains(source) }
            || ranges.admitNode && plan.loadBalancerIPs.contains(source)
    }

    /// Nil if nothing tells pods from others, or if the interface that would tell is not known.
    private func isFromPod(_ packet: Packet) -> Bool? {
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

    private func servesNodePorts(on address: IPAddress) -> Bool {
        switch node.nodePorts {
        case .everyLocalAddress(let exceptLoopback):
            local.contains(address) && !(exceptLoopback && address.isLoopback)
        case .addresses(let addresses): addresses.contains(address)
        }
    }
}

// MARK: - Filter

extension PlanWalk {
    private func tracerFilter(_ packet: Packet) -> PacketFate.End? {
        refusedClusterIP(packet) ?? refusedExternal(packet) ?? healthCheck(packet) ?? firewall(packet)
    }

    /// The filter chains of the hooks that a packet comes by, in the order of the jumps to them.
    ///
    /// - Parameters:
    ///   - marked: whether it asks for masquerade; forwarded packets that do are let through.
    ///   - translated: whether its destination has been translated.
    private func hostFilter(_ packet: Packet, marked: Bool, translated: Bool) -> PacketFate.End? {
        let isToNode = local.contains(packet.destination)
        if local.contains(packet.source) {
            let end = loopbackGuard(packet, translated) ?? firewall(packet) ?? refusedClusterIP(packet)
            // A packet of the node to itself comes by INPUT as well.
            if end != nil || !isToNode { return end }
        }
        if isToNode {
            return loopbackGuard(packet, translated) ?? firewall(packet) ?? healthCheck(packet)
                ?? refusedExternal(packet)
        }
        if let end = firewall(packet) { return end }
        return marked ? .accept : refusedClusterIP(packet) ?? refusedExternal(packet)
    }

    private func refusedClusterIP(_ packet: Packet) -> PacketFate.End? {
        for (index, door) in doors(to: packet) where door == .clusterIP {
            if let end = plans[index].internalTraffic.refusal { return end }
        }
        return nil
    }

    private func refusedExternal(_ packet: Packet) -> PacketFate.End? {
        var indices = doors(to: packet).filter { $0.door != .clusterIP }.map(\.plan)
        if local.contains(packet.destination) { indices += nodePorts(to: packet) }
        for index in indices.sorted() {
            if let end = plans[index].externalTraffic?.verdict.refusal { return end }
        }
        return nil
    }

    private func healthCheck(_ packet: Packet) -> PacketFate.End? {
        packet.protocol == .tcp && healthCheckPorts.contains(packet.port) ? .accept : nil
    }

    /// Packets to a load-balancer IP that still have it as their destination were not admitted.
    private func firewall(_ packet: Packet) -> PacketFate.End? {
        let isGuarded = doors(to: packet).contains {
            $0.door == .loadBalancerIP && plans[$0.plan].sourceRanges != nil
        }
        return isGuarded ? .drop : nil
    }

    private func loopbackGuard(_ packet: Packet, _ translated: Bool) -> PacketFate.End? {
        node.guardsLoopback && packet.destination.isLoopback && !packet.source.isLoopback && !translated ? .drop : nil
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
