import TestSupport
import Testing

// What the modes treat differently.
extension TrafficTests {
    // MARK: Policy Local without a local endpoint

    @Test(
        "internal policy Local without a local endpoint drops", .outsideUserModeLinux, arguments: Variant.here,
        Flow.allCases)
    func internalLocalNowhere(_ variant: Variant, _ flow: Flow) throws {
        try expectDrop(variant, flow, from: ["pod"], to: Cluster.nowhere.clusterIPs, 80)
    }

    @Test(
        "policy Local without a local endpoint drops clients outside", .outsideUserModeLinux, arguments: Variant.here,
        Flow.allCases)
    func externalLocalNowhere(_ variant: Variant, _ flow: Flow) throws {
        try expectDrop(variant, flow, from: ["stranger"], to: Cluster.node.addresses, Cluster.away.nodePort)
        try expectDrop(variant, flow, from: ["stranger"], to: Cluster.away.loadBalancerIPs, 80)
    }

    @Test(
        "in ipvs mode policy Local without a local endpoint goes to those elsewhere", .insideUserModeLinux,
        arguments: Flow.allCases)
    func localNowhereInIPVSMode(_ flow: Flow) throws {
        let away: Set = ["web-2", "web-3"]
        try expect(
            .ipvs, flow, from: "pod", to: Cluster.nowhere.clusterIPs, 80, reach: away, seenAs: Cluster.pod.addresses)
        // Nobody is masqueraded, as under policy Local nobody is.
        for (addresses, port) in [(Cluster.node.addresses, Cluster.away.nodePort), (Cluster.away.loadBalancerIPs, 80)] {
            try expect(
                .ipvs, flow, from: "stranger", to: addresses, port, reach: away, seenAs: Cluster.stranger.addresses)
        }
    }

    @Test(
        "policy Local serves the cluster's own clients from every endpoint", arguments: Variant.here, Flow.allCases)
    func externalLocalFromInside(_ variant: Variant, _ flow: Flow) throws {
        for (addresses, port) in [(Cluster.node.addresses, Cluster.away.nodePort), (Cluster.away.loadBalancerIPs, 80)] {
            try expect(
                variant, flow, from: "pod", to: addresses, port,
                reach: ["web-2", "web-3"], seenAs: Cluster.pod.addresses)
            // In ipvs mode the service's address stands on the node, which reaches it from that very address.
            try expect(
                variant, flow, from: "node", to: addresses, port, reach: ["web-2", "web-3"],
                seenAs: variant == .ipvs ? addresses : Cluster.node.addresses)
        }
    }

    @Test(
        "in ipvs mode policy Local serves the cluster's own clients from local endpoints, if there are some",
        .insideUserModeLinux, arguments: Flow.allCases)
    func externalLocalFromInsideInIPVSMode(_ flow: Flow) throws {
        for (addresses, port) in [
            (Cluster.node.addresses, Cluster.local.nodePort), (Cluster.local.loadBalancerIPs, 80),
        ] {
            try expect(
                .ipvs, flow, from: "pod", to: addresses, port, reach: ["web-1"], seenAs: Cluster.pod.addresses)
        }
    }

    // MARK: The node

    @Test(
        "a node port answers on the node's IPv4 loopback", .outsideUserModeLinux, arguments: Variant.iptables,
        TrafficLab.Transport.allCases)
    func nodePortOnLoopback(_ variant: Variant, _ transport: TrafficLab.Transport) throws {
        try expect(
            variant, Flow(transport: transport, family: .ipv4), from: "node",
            to: ["127.0.0.1"], Cluster.plain.nodePort, reach: Cluster.all, seenAs: Cluster.node.addresses)
    }

    @Test(
        "in nftables and in ipvs mode a node port does not answer on loopback", arguments: Variant.notOfIPTables,
        TrafficLab.Transport.allCases)
    func noNodePortOnLoopback(_ variant: Variant, _ transport: TrafficLab.Transport) throws {
        let answers = try TrafficLabs.lab(variant).ask(
            from: "node", transport, "127.0.0.1", Cluster.plain.nodePort, count: 3)
        #expect(answers.map(\.outcome) == [.refused, .refused, .refused])
    }

    // MARK: What is no service

    @Test(
        "in nftables and in ipvs mode wrong ports of a cluster IP are refused", arguments: Variant.notOfIPTables,
        Flow.allCases)
    func wrongPorts(_ variant: Variant, _ flow: Flow) throws {
        try expectRefusal(variant, flow, ["pod", "node", "stranger"].map { ($0, Cluster.plain.clusterIPs, 81) })
    }

    @Test(
        "in ipvs mode wrong ports of every address of a service are refused, also where the node itself listens",
        .insideUserModeLinux, arguments: Flow.allCases)
    func wrongPortsInIPVSMode(_ flow: Flow) throws {
        // A server of the node's own listens there, on all its addresses, and so on those of services.
        let port = Cluster.empty.nodePort
        var asked = ["pod", "node", "stranger"].map { ($0, Cluster.plain.clusterIPs, port) }
        for addresses in [Cluster.plain.externalIPs, Cluster.local.loadBalancerIPs] {
            asked += [("stranger", addresses, 81), ("stranger", addresses, port)]
        }
        try expectRefusal(.ipvs, flow, asked)
    }

    @Test(
        "in nftables mode addresses among the cluster IPs that no Service has are dropped", .outsideUserModeLinux,
        arguments: Flow.allCases)
    func unknownClusterIPs(_ flow: Flow) throws {
        try expectDrop(
            .nftables, flow, from: ["pod", "node", "stranger"], to: ["172.30.9.9", "fd00:10:96::9:9"], 80)
    }
}
