// The way of packets in ipvs mode. What comes in meets the rules of INPUT and then virtual servers; what the node itself
// sends meets virtual servers before the rules of OUTPUT.
extension PlanWalk {
    /// Where a packet ends. Every service address is the node's, as it stands on `kube-ipvs0`.
    func fateAtVirtualServer(of packet: Packet) -> PacketFate {
        func all(_ end: PacketFate.End) -> PacketFate { PacketFate([.init(end, share: 1)]) }
        let isServiceAddress = serviceAddresses.contains(packet.destination) && !local.contains(packet.destination)
        let isForNodePort = local.contains(packet.destination) && node.servesNodePorts(on: packet.destination)
        let claims = (claims(on: packet) + (isForNodePort ? nodePortClaims(on: packet) : []))
            .sorted { $0.plan < $1.plan }
        if isRefusedBySourceRanges(packet, claims) { return all(.drop) }
        // Under an address and port stands one virtual server.
        guard let claim = claims.last else {
            let isForNode = isServiceAddress || local.contains(packet.destination)
            if isForNode, packet.protocol == .tcp, healthCheckPorts.contains(packet.port) { return all(.accept) }
            return all(isServiceAddress ? .reject : .untouched)
        }
        let endpoints = realServers(of: claim)
        // The kernel answers for one without real servers (ip_vs_leave in ip_vs_core.c).
        guard !endpoints.isEmpty else { return all(.reject) }
        let isMarked = !packet.source.isLoopback && claims.contains { marks($0, packet) }
        let share = 1 / Double(endpoints.count)
        return PacketFate(
            endpoints.map { endpoint in
                let hairpin = endpoint.roles.contains(.hairpin) && endpoint.address == packet.source
                // What comes in and stays on the node passes no POSTROUTING.
                let passesPostrouting = isNodes(packet.source) || !local.contains(endpoint.address)
                return .init(
                    .endpoint(endpoint.address, port: endpoint.port), share: share,
                    source: (isMarked || hairpin) && passesPostrouting ? .masqueraded : .unchanged)
            })
    }

    private func isNodes(_ address: IPAddress) -> Bool { local.contains(address) || serviceAddresses.contains(address) }

    /// The rules of INPUT ask everybody but the node, which reaches a load-balancer IP from that IP.
    private func isRefusedBySourceRanges(_ packet: Packet, _ claims: [Claim]) -> Bool {
        let guarded = claims.filter(isGuarded)
        guard !guarded.isEmpty else { return false }
        guard isNodes(packet.source) else { return !guarded.contains { admits(plans[$0.plan], packet.source) } }
        return packet.source == packet.destination
            && guarded.contains { plans[$0.plan].sourceRanges?.admitNode == false }
    }

    private func realServers(of claim: Claim) -> [ServicePlan.Endpoint] {
        let plan = plans[claim.plan]
        let verdict = claim.door == .clusterIP ? plan.internalTraffic : plan.externalTraffic?.verdict
        guard case .balance(let pool) = verdict else { return [] }
        let role: ServicePlan.Endpoint.Roles = pool == .cluster ? .cluster : .local
        return plan.endpoints.filter { $0.roles.contains(role) }
    }

    /// True if the claim's entries in the sets have the packet masqueraded.
    private func marks(_ claim: Claim, _ packet: Packet) -> Bool {
        let plan = plans[claim.plan]
        guard claim.door == .clusterIP else { return plan.externalTraffic?.masquerades == true }
        switch plan.internalMasquerade {
        case .everybody: return true
        case .notLocal: return isFromPod(packet) == false
        case .nobody:
            // Then the rule asks whether the source is a cluster IP of the port, as it is where the node asks itself.
            var back = packet
            back.destination = packet.source
            return self.claims(on: back).contains { $0.door == .clusterIP }
        }
    }
}
