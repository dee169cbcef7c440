import NameHash
import ProxyCore

/// Spells the plan of one service port as iptables rules.
///
/// The buffers are reused from plan to plan. The order of the lines is kube-proxy's.
struct ServiceRenderer: ~Copyable {
    let node: NodePlan
    let options: IPTablesRules.Options

    private var filter = RuleWriter(capacity: 4096)
    private var top = RuleWriter(capacity: 4096)
    private var chains = RuleWriter(capacity: 4096)
    private var own = RuleWriter(capacity: 65_536)
    /// `namespace/name:port`
    private var name = RuleWriter(capacity: 512)
    private var hashed = RuleWriter(capacity: 512)

    init(node: NodePlan, options: IPTablesRules.Options) {
        self.node = node
        self.options = options
    }

    /// - Parameter endpointComments: whether the rules of endpoints have comments.
    mutating func render(_ plan: ServicePlan, endpointComments: Bool) -> ServiceFragment {
        filter.removeAll()
        top.removeAll()
        chains.removeAll()
        own.removeAll()
        name.removeAll()
        name.write(plan.name.service.namespace)
        name.write("/")
        name.write(plan.name.service.name)
        if !plan.name.port.isEmpty {
            name.write(":")
            name.write(plan.name.port)
        }
        hashed.removeAll()
        hashed.write(name.bytes)
        hashed.write(plan.name.protocol.lowercaseName)
        let hash = NameHash(of: hashed.bytes)

        writeClusterIP(plan, hash)
        writeExternalIPs(plan, hash)
        writeLoadBalancerIPs(plan, hash)
        writeNodePort(plan, hash)
        writeHealthCheckNodePort(plan)
        writeInternalMasquerade(plan, hash)
        writeExternalChain(plan, hash)
        writeFirewallChain(plan, hash)
        writeEndpoints(plan, hash, endpointComments)
        return ServiceFragment(filter: filter, top: top, chains: chains, own: own)
    }

    // MARK: Destinations

    private mutating func writeClusterIP(_ plan: ServicePlan, _ hash: NameHash) {
        switch plan.internalTraffic {
        case .balance(let pool):
            top.write("-A KUBE-SERVICES")
            top.writeComment(name, " cluster IP")
            top.writeDestination(plan.name.protocol, plan.clusterIP, plan.port)
            top.writeJump(pool.chain, hash)
        case .reject, .drop:
            filter.write("-A KUBE-SERVICES")
            filter.writeComment(name, plan.internalTraffic.reason)
            filter.writeDestination(plan.name.protocol, plan.clusterIP, plan.port)
            filter.write(plan.internalTraffic.refusal)
        }
    }

    private mutating func writeExternalIPs(_ plan: ServicePlan, _ hash: NameHash) {
        guard let external = plan.externalTraffic else { return }
        for address in plan.externalIPs {
            if plan.hasEndpoints {
                top.write("-A KUBE-SERVICES")
                top.writeComment(name, " external IP")
                top.writeDestination(plan.name.protocol, address, plan.port)
                top.writeJump(.external, hash)
            }
            writeRefusal(of: plan, external, at: address)
        }
    }

    private mutating func writeLoadBalancerIPs(_ plan: ServicePlan, _ hash: NameHash) {
        guard let external = plan.externalTraffic else { return }
        for address in plan.loadBalancerIPs {
            if plan.hasEndpoints {
                top.write("-A KUBE-SERVICES")
                top.writeComment(name, " loadbalancer IP")
                top.writeDestination(plan.name.protocol, address, plan.port)
                top.writeJump(plan.sourceRanges == nil ? .external : .firewall, hash)
            }
            if plan.sourceRanges != nil {
                // What the firewall chain lets fall through was not translated and still has this destination.
                filter.write("-A KUBE-PROXY-FIREWALL -m comment --comment \"")
                filter.write(name.bytes)
                filter.write(" traffic not accepted by KUBE-FW-")
                filter.write(hash)
                filter.write("\"")
                filter.writeDestination(plan.name.protocol, address, plan.port)
                filter.write(" -j DROP\n")
            }
        }
        for address in plan.loadBalancerIPs { writeRefusal(of: plan, external, at: address) }
    }

    private mutating func writeRefusal(
        of plan: ServicePlan, _ external: ServicePlan.ExternalTraffic, at address: IPAddress
    ) {
        if case .balance = external.verdict { return }
        filter.write("-A KUBE-EXTERNAL-SERVICES")
        filter.writeComment(name, external.verdict.reason)
        filter.writeDestination(plan.name.protocol, address, plan.port)
        filter.write(external.verdict.refusal)
    }

    private mutating func writeNodePort(_ plan: ServicePlan, _ hash: NameHash) {
        guard plan.nodePort != 0, let external = plan.externalTraffic else { return }
        if plan.hasEndpoints {
            if options.accounting, node.guardsLoopback {
                top.writeNodePort(plan, name, " -d 127.0.0.0/8")
                top.write(" -m nfacct --nfacct-name localhost_nps_accepted_pkts")
                top.writeJump(.external, hash)
            }
            top.writeNodePort(plan, name, "")
            top.writeJump(.external, hash)
        }
        if case .balance = external.verdict { return }
        filter.write("-A KUBE-EXTERNAL-SERVICES")
        filter.writeComment(name, external.verdict.reason)
        filter.write(" -m addrtype --dst-type LOCAL")
        filter.writeProtocol(plan.name.protocol)
        filter.write(" --dport ")
        filter.write(decimal: plan.nodePort)
        filter.write(external.verdict.refusal)
    }

    private mutating func writeHealthCheckNodePort(_ plan: ServicePlan) {
        guard plan.healthCheckNodePort != 0 else { return }
        filter.write("-A KUBE-NODEPORTS")
        filter.writeComment(name, " health check node port")
        filter.write(" -m tcp -p tcp --dport ")
        filter.write(decimal: plan.healthCheckNodePort)
        filter.write(" -j ACCEPT\n")
    }

    // MARK: Chains of the service port

    private mutating func writeInternalMasquerade(_ plan: ServicePlan, _ hash: NameHash) {
        guard case .balance(let pool) = plan.internalTraffic, plan.internalMasquerade != .nobody else { return }
        own.writeRule(in: pool.chain, hash)
        own.writeComment(name, " cluster IP")
        own.writeDestination(plan.name.protocol, plan.clusterIP, plan.port)
        if plan.internalMasquerade == .notLocal { own.write(node.localDetector, inverted: true) }
        own.write(" -j KUBE-MARK-MASQ\n")
    }

    private mutating func writeExternalChain(_ plan: ServicePlan, _ hash: NameHash) {
        guard let external = plan.externalTraffic, plan.hasEndpoints else { return }
        chains.writeDeclaration(.external, hash)
        if external.masquerades {
            own.writeRule(in: .external, hash)
            own.writeExternalComment("masquerade traffic for ", name)
            own.write(" -j KUBE-MARK-MASQ\n")
        }
        if external.shortCircuitsLocalSources {
            if node.localDetector != .none {
                own.writeRule(in: .external, hash)
                own.writeExternalComment("pod traffic for ", name)
                own.write(node.localDetector, inverted: false)
                own.writeJump(.cluster, hash)
            }
            // The node's own packets can have a service's address as their source: replies must come back here.
            own.writeRule(in: .external, hash)
            own.writeExternalComment("masquerade LOCAL traffic for ", name)
            own.write(" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ\n")
            own.writeRule(in: .external, hash)
            own.writeExternalComment("route LOCAL traffic for ", name)
            own.write(" -m addrtype --src-type LOCAL")
            own.writeJump(.cluster, hash)
        }
        if case .balance(let pool) = external.verdict {
            own.writeRule(in: .external, hash)
            own.writeJump(pool.chain, hash)
        }
    }

    private mutating func writeFirewallChain(_ plan: ServicePlan, _ hash: NameHash) {
        guard let ranges = plan.sourceRanges else { return }
        chains.writeDeclaration(.firewall, hash)
        for cidr in ranges.cidrs {
            own.writeRule(in: .firewall, hash)
            own.writeComment(name, " loadbalancer IP")
            own.write(" -s ")
            own.write(cidr)
            own.writeJump(.external, hash)
        }
        // A load-balancer IP is often an address of the node, which then speaks to it from that address.
        for address in plan.loadBalancerIPs where ranges.admitNode {
            own.writeRule(in: .firewall, hash)
            own.writeComment(name, " loadbalancer IP")
            own.write(" -s ")
            own.write(address)
            own.writeJump(.external, hash)
        }
        own.writeRule(in: .firewall, hash)
        own.write(" -m comment --comment \"other traffic to ")
        own.write(name.bytes)
        own.write(" will be dropped by KUBE-PROXY-FIREWALL\"\n")
    }

    // MARK: Endpoints

    private mutating func writeEndpoints(_ plan: ServicePlan, _ hash: NameHash, _ comments: Bool) {
        let hashedName = hashed.count
        let endpoints = plan.endpoints.filter { !$0.roles.isDisjoint(with: .reachable) }
        let hashes = endpoints.map { endpoint in
            hashed.truncate(to: hashedName)
            hashed.write(endpoint.address, port: endpoint.port)
            return NameHash(of: hashed.bytes)
        }
        for pool in [ServicePlan.Pool.cluster, .local] {
            writePool(pool, plan, endpoints, hash, hashes, comments)
        }
        for (endpoint, endpointHash) in zip(endpoints, hashes) {
            writeEndpointChain(endpoint, endpointHash, plan, comments)
        }
    }

    private mutating func writePool(
        _ pool: ServicePlan.Pool, _ plan: ServicePlan, _ endpoints: [ServicePlan.Endpoint], _ hash: NameHash,
        _ hashes: [NameHash], _ comments: Bool
    ) {
        let members = endpoints.indices.filter { endpoints[$0].roles.contains(pool.role) }
        guard !members.isEmpty else { return }
        chains.writeDeclaration(pool.chain, hash)
        if let seconds = plan.affinitySeconds {
            for member in members {
                writeToEndpoint(pool, endpoints[member], hash, comments)
                own.write(" -m recent --name KUBE-SEP-")
                own.write(hashes[member])
                own.write(" --rcheck --seconds ")
                own.write(String(seconds))
                own.write(" --reap -j KUBE-SEP-")
                own.write(hashes[member])
                own.write("\n")
            }
        }
        for (index, member) in members.enumerated() {
            writeToEndpoint(pool, endpoints[member], hash, comments)
            let left = members.count - index
            if left > 1 {
                own.write(" -m statistic --mode random --probability ")
                own.write(probabilityOfOneIn: left)
            }
            own.write(" -j KUBE-SEP-")
            own.write(hashes[member])
            own.write("\n")
        }
    }

    private mutating func writeToEndpoint(
        _ pool: ServicePlan.Pool, _ endpoint: ServicePlan.Endpoint, _ hash: NameHash, _ comments: Bool
    ) {
        own.writeRule(in: pool.chain, hash)
        guard comments else { return }
        own.write(" -m comment --comment \"")
        own.write(name.bytes)
        own.write(" -> ")
        own.write(endpoint.address, port: endpoint.port)
        own.write("\"")
    }

    private mutating func writeEndpointChain(
        _ endpoint: ServicePlan.Endpoint, _ hash: NameHash, _ plan: ServicePlan, _ comments: Bool
    ) {
        chains.write(":KUBE-SEP-")
        chains.write(hash)
        chains.write(" - [0:0]\n")
        if endpoint.roles.contains(.hairpin) {
            own.write("-A KUBE-SEP-")
            own.write(hash)
            if comments { own.writeComment(name) }
            own.write(" -s ")
            own.write(endpoint.address)
            own.write(" -j KUBE-MARK-MASQ\n")
        }
        own.write("-A KUBE-SEP-")
        own.write(hash)
        if comments { own.writeComment(name) }
        if plan.affinitySeconds != nil {
            own.write(" -m recent --name KUBE-SEP-")
            own.write(hash)
            own.write(" --set")
        }
        own.writeProtocol(plan.name.protocol)
        own.write(" -j DNAT --to-destination ")
        own.write(endpoint.address, port: endpoint.port)
        own.write("\n")
    }
}

extension ServicePlan.Pool {
    var chain: ServiceChain { self == .cluster ? .cluster : .local }
    var role: ServicePlan.Endpoint.Roles { self == .cluster ? .cluster : .local }
}

extension ServicePlan.Verdict {
    /// The end of a comment that says why packets are refused.
    var reason: StaticString { self == .reject ? " has no endpoints" : " has no local endpoints" }

    var refusal: StaticString { self == .reject ? " -j REJECT\n" : " -j DROP\n" }
}
