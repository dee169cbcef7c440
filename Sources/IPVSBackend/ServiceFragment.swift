import ProxyCore

/// What one service port needs in the kernel.
struct ServiceFragment: Hashable {
    private(set) var servers: [VirtualServer.Key: VirtualServer] = [:]
    private(set) var entries: [IPSet: Set<IPSetEntry>] = [:]
    /// Those to be put on the node.
    private(set) var addresses: Set<IPAddress> = []
    /// The cluster IP where the node has it already, on another device.
    private(set) var clusterIPElsewhere: IPAddress?
    /// The load-balancer IPs that the node itself may not use, in their order.
    private(set) var refusals: [VirtualServer.Key] = []

    init(_ plan: ServicePlan, _ settings: IPVSSettings) {
        let pools = [ServicePlan.Pool.cluster, .local].map { pool in
            let role: ServicePlan.Endpoint.Roles = pool == .cluster ? .cluster : .local
            return plan.endpoints.filter { $0.roles.contains(role) }.map { RealServer($0.address, $0.port) }
        }
        func serve(_ key: VirtualServer.Key, _ verdict: ServicePlan.Verdict) {
            let realServers =
                switch verdict {
                case .balance(.cluster): pools[0]
                case .balance(.local): pools[1]
                case .reject, .drop: [RealServer]()
                }
            servers[key] = VirtualServer(
                scheduler: settings.scheduler, persistenceSeconds: plan.affinitySeconds, realServers: realServers)
        }
        func key(_ address: IPAddress) -> VirtualServer.Key { .init(address, plan.name.protocol, plan.port) }
        func own(_ address: IPAddress) {
            guard !settings.nodeAddresses.contains(address) else { return }
            addresses.insert(address)
            add(.address(address), to: .serviceAddresses)
        }

        let clusterIP = key(plan.clusterIP)
        serve(clusterIP, plan.internalTraffic)
        own(plan.clusterIP)
        if settings.nodeAddresses.contains(plan.clusterIP) { clusterIPElsewhere = plan.clusterIP }
        add(.addressAndPort(clusterIP), to: .clusterIPs)
        if let traffic = plan.externalTraffic {
            for address in plan.externalIPs {
                serve(key(address), traffic.verdict)
                own(address)
                add(.addressAndPort(key(address)), to: traffic.masquerades ? .externalIPs : .localExternalIPs)
            }
            for address in plan.loadBalancerIPs {
                serve(key(address), traffic.verdict)
                own(address)
                addLoadBalancer(key(address), plan, traffic)
            }
            if plan.nodePort != 0 {
                for address in settings.nodePortAddresses {
                    let key = VirtualServer.Key(address, plan.name.protocol, plan.nodePort)
                    serve(key, traffic.verdict)
                    addNodePort(key, traffic)
                }
            }
        }
        // Health checks come to the addresses of node ports; one of a service without them may come to any.
        let isChecked = plan.healthCheckNodePort != 0 && (plan.nodePort == 0 || !settings.nodePortAddresses.isEmpty)
        if isChecked { add(.port(plan.healthCheckNodePort), to: .healthCheckNodePorts) }
        for endpoint in plan.endpoints where endpoint.roles.contains(.hairpin) {
            let key = VirtualServer.Key(endpoint.address, plan.name.protocol, endpoint.port)
            add(.pair(key, endpoint.address), to: .hairpins)
        }
    }

    private mutating func add(_ entry: IPSetEntry, to set: IPSet) {
        entries[set, default: []].insert(entry)
    }

    private mutating func addLoadBalancer(
        _ key: VirtualServer.Key, _ plan: ServicePlan, _ traffic: ServicePlan.ExternalTraffic
    ) {
        add(.addressAndPort(key), to: .loadBalancerIPs)
        if !traffic.masquerades { add(.addressAndPort(key), to: .localLoadBalancerIPs) }
        guard let ranges = plan.sourceRanges else { return }
        add(.addressAndPort(key), to: .guardedLoadBalancerIPs)
        for range in ranges.cidrs { add(.range(key, range), to: .sourceRanges) }
        if ranges.admitNode {
            // The node reaches a load-balancer IP from that IP, as it stands on the node.
            add(.pair(key, key.address), to: .sourceAddresses)
        } else {
            refusals.append(key)
        }
    }

    private mutating func addNodePort(_ key: VirtualServer.Key, _ traffic: ServicePlan.ExternalTraffic) {
        let (set, entry) = key.asNodePort
        add(entry, to: set)
        guard !traffic.masquerades else { return }
        switch key.protocol {
        case .tcp: add(entry, to: .localTCPNodePorts)
        case .udp: add(entry, to: .localUDPNodePorts)
        case .sctp: add(entry, to: .localSCTPNodePorts)
        }
    }
}
