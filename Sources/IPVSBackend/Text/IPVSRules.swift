public import ProxyCore

/// The iptables rules around the virtual servers: the same few whatever the services, apart from one for each
/// load-balancer IP that the node itself may not use.
///
/// Rules for a set that is empty are left out, as kube-proxy has it. So the text changes only when a set gets its first
/// entry or loses its last.
extension IPVSTable {
    /// What is committed of the tables; every chain of it is replaced.
    public func rules() -> IPTablesBatch {
        IPTablesBatch(
            family: settings.node.family,
            tables: [.init(name: .nat, text: natText), .init(name: .filter, text: filterText)],
            jumps: Self.jumps, sysctls: sysctls)
    }

    /// What virtual servers need of the kernel (Documentation/networking/ipvs-sysctl.rst of Linux).
    private var sysctls: [IPTablesBatch.Sysctl] {
        var values = [
            // Without it no connection of IPVS is masqueraded.
            ("vs/conntrack", "1"),
            // Clients of a real server that is gone, or that gets no new connections, are sent to another.
            ("vs/expire_nodest_conn", "1"), ("vs/expire_quiescent_template", "1"), ("ip_forward", "1"),
        ]
        if settings.setsReuseMode { values.append(("vs/conn_reuse_mode", "0")) }
        if settings.isARPStrict { values += [("conf/all/arp_ignore", "1"), ("conf/all/arp_announce", "2")] }
        return values.map { .init(path: "net/ipv4/\($0)", value: $1) }
    }

    private var natText: [UInt8] {
        var text = IPVSRuleText(
            "nat", ["KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-MARK-MASQ"])
        let node = settings.node
        // Packets from loopback do not leave the node: its addresses are no node ports.
        text.add("KUBE-SERVICES -s \(node.family == .ipv4 ? "127.0.0.0/8" : "::1/128") -j RETURN")
        for rule in Self.natLookups { add(rule, to: &text) }
        addClusterIPs(to: &text)
        for (set, comment, masquerades) in Self.externalLookups where hasEntries(set) {
            let match = "KUBE-SERVICES \(Self.comment(comment))\(match(set, "dst,dst"))"
            if masquerades { text.add("\(match) -j KUBE-MARK-MASQ") }
            // Neither what a bridge carries nor what the node itself sends is taken for a way out.
            text.add("\(match) -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT")
            text.add("\(match) -m addrtype --dst-type LOCAL -j ACCEPT")
        }
        text.add("KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT")
        text.add("KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ")
        for set in [IPSet.clusterIPs, .loadBalancerIPs] where hasEntries(set) {
            text.add("KUBE-SERVICES\(match(set, "dst,dst")) -j ACCEPT")
        }
        let mark = Self.hexadecimal(node.masqueradeMark)
        text.add("KUBE-POSTROUTING -m mark ! --mark \(mark)/\(mark) -j RETURN")
        text.add("KUBE-POSTROUTING -j MARK --xor-mark \(mark)")
        let random = node.masqueradesRandomly ? " --random-fully" : ""
        text.add(
            "KUBE-POSTROUTING \(Self.comment("kubernetes service traffic requiring SNAT")) -j MASQUERADE\(random)")
        text.add("KUBE-MARK-MASQ -j MARK --or-mark \(mark)")
        return text.committed
    }

    private var filterText: [UInt8] {
        var text = IPVSRuleText(
            "filter",
            [
                "KUBE-FORWARD", "KUBE-NODE-PORT", "KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL",
                "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER",
            ])
        for rule in Self.filterLookups { add(rule, to: &text) }
        text.add("KUBE-SOURCE-RANGES-FIREWALL -j DROP")
        for key in refusals {
            text.add(
                "KUBE-IPVS-OUT-FILTER -s \(key.address) -m ipvs --vaddr \(key.address) "
                    + "--vproto \(key.protocol.lowercaseName) --vport \(key.port) -j DROP")
        }
        let mark = Self.hexadecimal(settings.node.masqueradeMark)
        text.add("KUBE-FORWARD \(Self.comment("kubernetes forwarding rules")) -m mark --mark \(mark)/\(mark) -j ACCEPT")
        text.add(
            "KUBE-FORWARD \(Self.comment("kubernetes forwarding conntrack rule")) -m conntrack "
                + "--ctstate RELATED,ESTABLISHED -j ACCEPT")
        text.add(
            "KUBE-NODE-PORT \(Self.comment("Kubernetes health check node port"))"
                + "\(match(.healthCheckNodePorts, "dst")) -j ACCEPT")
        // What is not a service of its address must not reach the node's own services through it.
        for set in [IPSet.loadBalancerIPs, .clusterIPs, .externalIPs, .localExternalIPs] {
            text.add("KUBE-IPVS-FILTER\(match(set, "dst,dst")) -j RETURN")
        }
        text.add("KUBE-IPVS-FILTER\(match(.healthCheckNodePorts, "dst")) -j RETURN")
        text.add("KUBE-IPVS-FILTER -m conntrack --ctstate NEW\(match(.serviceAddresses, "dst")) -j REJECT")
        return text.committed
    }

    /// Who is masqueraded on the way to a cluster IP.
    private func addClusterIPs(to text: inout IPVSRuleText) {
        guard hasEntries(.clusterIPs) else { return }
        let start =
            "KUBE-SERVICES \(Self.comment("Kubernetes service cluster ip + port for masquerade purpose"))"
        let node = settings.node
        guard !node.context.masqueradeAll else {
            return text.add("\(start)\(match(.clusterIPs, "dst,dst")) -j KUBE-MARK-MASQ")
        }
        let others: String
        switch node.localDetector {
        case .none:
            // The node reaches a service from the service's own address, as that stands on the node.
            return text.add("\(start)\(match(.clusterIPs, "src,dst")) -j KUBE-MARK-MASQ")
        case .source(let range): others = "! -s \(range)"
        case .bridge(let name): others = "! -i \(name)"
        case .interfacePrefix(let prefix): others = "! -i \(prefix)+"
        }
        text.add("\(start)\(match(.clusterIPs, "dst,dst")) \(others) -j KUBE-MARK-MASQ")
    }
}

// MARK: - Lookups

extension IPVSTable {
    /// A rule that looks something up in a set.
    private struct Lookup {
        var chain: String
        var set: IPSet
        var comment: String
        var parts: String
        var target: String
        var transport: TransportProtocol?
    }

    private static let natLookups = [
        Lookup(
            chain: "KUBE-POSTROUTING", set: .hairpins,
            comment: "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose", parts: "dst,dst,src",
            target: "MASQUERADE"),
        Lookup(
            chain: "KUBE-SERVICES", set: .loadBalancerIPs, comment: "Kubernetes service lb portal", parts: "dst,dst",
            target: "KUBE-LOAD-BALANCER"),
        Lookup(
            chain: "KUBE-LOAD-BALANCER", set: .localLoadBalancerIPs,
            comment: "Kubernetes service load balancer ip + port with externalTrafficPolicy=local", parts: "dst,dst",
            target: "RETURN"),
        nodePorts(.localTCPNodePorts, .tcp, "with externalTrafficPolicy=local", "RETURN"),
        nodePorts(.tcpNodePorts, .tcp, "for masquerade purpose", "KUBE-MARK-MASQ"),
        nodePorts(.localUDPNodePorts, .udp, "with externalTrafficPolicy=local", "RETURN"),
        nodePorts(.udpNodePorts, .udp, "for masquerade purpose", "KUBE-MARK-MASQ"),
        nodePorts(.localSCTPNodePorts, .sctp, "with externalTrafficPolicy=local", "RETURN"),
        nodePorts(.sctpNodePorts, .sctp, "for masquerade purpose", "KUBE-MARK-MASQ"),
    ]

    private static func nodePorts(
        _ set: IPSet, _ transport: TransportProtocol, _ purpose: String, _ target: String
    ) -> Lookup {
        let hasPortsAlone = set.kind == .ports
        return Lookup(
            chain: "KUBE-NODE-PORT", set: set,
            comment: "Kubernetes nodeport \(transport.rawValue) port \(purpose)"
                + (hasPortsAlone ? "" : " with type 'hash ip:port'"),
            parts: hasPortsAlone ? "dst" : "dst,dst", target: target, transport: transport)
    }

    private static let filterLookups = [
        Lookup(
            chain: "KUBE-PROXY-FIREWALL", set: .guardedLoadBalancerIPs,
            comment: "Kubernetes service load balancer ip + port for load balancer with sourceRange", parts: "dst,dst",
            target: "KUBE-SOURCE-RANGES-FIREWALL"),
        Lookup(
            chain: "KUBE-SOURCE-RANGES-FIREWALL", set: .sourceRanges,
            comment: "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
            parts: "dst,dst,src", target: "RETURN"),
        Lookup(
            chain: "KUBE-SOURCE-RANGES-FIREWALL", set: .sourceAddresses,
            comment: "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
            parts: "dst,dst,src", target: "RETURN"),
    ]

    private static let externalLookups: [(IPSet, comment: String, masquerades: Bool)] = [
        (.externalIPs, "Kubernetes service external ip + port for masquerade and filter purpose", true),
        (.localExternalIPs, "Kubernetes service external ip + port with externalTrafficPolicy=local", false),
    ]

    private func add(_ rule: Lookup, to text: inout IPVSRuleText) {
        guard hasEntries(rule.set) else { return }
        let transport = rule.transport.map { "-p \($0.lowercaseName) " } ?? ""
        text.add(
            "\(rule.chain) \(transport)\(Self.comment(rule.comment))\(match(rule.set, rule.parts)) -j \(rule.target)")
    }

    private func hasEntries(_ set: IPSet) -> Bool { !entries(set).isEmpty }

    private func match(_ set: IPSet, _ parts: String) -> String {
        " -m set --match-set \(set.name(settings.node.family)) \(parts)"
    }

    private static func comment(_ text: String) -> String { "-m comment --comment \"\(text)\"" }

    private static func hexadecimal(_ mark: UInt32) -> String {
        let digits = String(mark, radix: 16)
        return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
    }
}

// MARK: - Jumps

extension IPVSTable {
    /// The jumps from built-in chains, none with a connection state.
    static let jumps: [IPTablesJump] = [
        jump(.nat, "OUTPUT", "kubernetes service portals", "KUBE-SERVICES"),
        jump(.nat, "PREROUTING", "kubernetes service portals", "KUBE-SERVICES"),
        jump(.nat, "POSTROUTING", "kubernetes postrouting rules", "KUBE-POSTROUTING"),
        jump(.filter, "FORWARD", "kubernetes forwarding rules", "KUBE-FORWARD"),
        jump(.filter, "INPUT", "kubernetes health check rules", "KUBE-NODE-PORT"),
        jump(.filter, "INPUT", "kube-proxy firewall rules", "KUBE-PROXY-FIREWALL"),
        jump(.filter, "FORWARD", "kube-proxy firewall rules", "KUBE-PROXY-FIREWALL"),
        jump(.filter, "INPUT", "kubernetes ipvs access filter", "KUBE-IPVS-FILTER"),
        jump(.filter, "OUTPUT", "kubernetes ipvs access filter", "KUBE-IPVS-OUT-FILTER"),
    ]

    private static func jump(
        _ table: IPTablesBatch.TableName, _ chain: String, _ text: String, _ target: String
    ) -> IPTablesJump {
        IPTablesJump(table: table, chain: chain, matches: comment(text), target: target)
    }
}

/// The input of iptables-restore for one table.
private struct IPVSRuleText {
    private var text: String

    init(_ table: String, _ chains: [String]) {
        text = "*\(table)\n" + chains.map { ":\($0) - [0:0]\n" }.joined()
    }

    /// - Parameter rule: begins with the chain.
    mutating func add(_ rule: String) { text += "-A \(rule)\n" }

    var committed: [UInt8] { Array((text + "COMMIT\n").utf8) }
}
