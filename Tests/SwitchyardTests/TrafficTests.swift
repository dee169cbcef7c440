import Glibc
import TestSupport
import Testing

/// Real connections and datagrams through the rules that `switchyard apply` wrote into a node's namespace, with what all
/// modes treat alike; `TrafficTests+Modes.swift` has the rest. Inside user-mode Linux the mode is ipvs, outside the others.
@Suite(
    "Traffic",
    .enabled(if: TrafficLabs.obstacle == nil, "kernel: \(TrafficLabs.obstacle ?? "")"),
    .trafficLabs, .timeLimit(.minutes(15)))
struct TrafficTests {
    typealias Variant = TrafficLabs.Variant
    typealias Cluster = TrafficCluster
    typealias Service = TrafficCluster.Service

    /// What a packet travels as.
    struct Flow: CaseIterable, CustomTestStringConvertible, Sendable {
        var transport: TrafficLab.Transport
        var family: TrafficCluster.Family

        static let allCases = TrafficCluster.Family.allCases.flatMap { family in
            TrafficLab.Transport.allCases.map { Flow(transport: $0, family: family) }
        }

        var testDescription: String { "\(transport) over \(family)" }
    }

    /// Enough attempts that a balanced service leaves one of three servers out in one run of 10^10: 3 × (2/3)^60.
    static let enough = 60

    // MARK: Cluster IPs

    @Test(
        "a pod reaches every endpoint of a cluster IP under its own address", arguments: Variant.here, Flow.allCases
    )
    func podToClusterIP(_ variant: Variant, _ flow: Flow) throws {
        try expect(
            variant, flow, from: "pod", to: Cluster.plain.clusterIPs, 80,
            reach: Cluster.all, seenAs: Cluster.pod.addresses)
    }

    @Test("the node reaches every endpoint of a cluster IP", arguments: Variant.here, Flow.allCases)
    func nodeToClusterIP(_ variant: Variant, _ flow: Flow) throws {
        try expect(
            variant, flow, from: "node", to: Cluster.plain.clusterIPs, 80, reach: Cluster.all,
            seenAs: Cluster.node.addresses)
    }

    @Test("a client outside reaches a cluster IP under the node's address", arguments: Variant.here, Flow.allCases)
    func outsideToClusterIP(_ variant: Variant, _ flow: Flow) throws {
        try expect(
            variant, flow, from: "stranger", to: Cluster.plain.clusterIPs, 80, reach: Cluster.all,
            seenAs: Cluster.node.addresses)
    }

    @Test("internal policy Local keeps a pod's traffic on the node", arguments: Variant.here, Flow.allCases)
    func internalLocal(_ variant: Variant, _ flow: Flow) throws {
        try expect(
            variant, flow, from: "pod", to: Cluster.inside.clusterIPs, 80,
            reach: ["web-1"], seenAs: Cluster.pod.addresses)
    }

    @Test("a pod reaches itself through its service", arguments: Variant.here, Flow.allCases)
    func hairpin(_ variant: Variant, _ flow: Flow) throws {
        try expect(
            variant, flow, from: "web-1", to: Cluster.mirror.clusterIPs, 80, reach: ["web-1"],
            seenAs: Cluster.node.addresses)
    }

    // MARK: Node ports

    @Test("a node port with policy Cluster is masqueraded", arguments: Variant.here, Flow.allCases)
    func nodePortCluster(_ variant: Variant, _ flow: Flow) throws {
        for client in ["stranger", "pod", "node"] {
            try expect(
                variant, flow, from: client, to: Cluster.node.addresses, Cluster.plain.nodePort,
                reach: Cluster.all, seenAs: Cluster.node.addresses)
        }
    }

    @Test("a node port with policy Local keeps the client's address", arguments: Variant.here, Flow.allCases)
    func nodePortLocal(_ variant: Variant, _ flow: Flow) throws {
        try expect(
            variant, flow, from: "stranger", to: Cluster.node.addresses, Cluster.local.nodePort,
            reach: ["web-1"], seenAs: Cluster.stranger.addresses)
    }

    // MARK: External and load-balancer IPs

    @Test("an external IP is masqueraded", arguments: Variant.here, Flow.allCases)
    func externalIP(_ variant: Variant, _ flow: Flow) throws {
        try expect(
            variant, flow, from: "stranger", to: Cluster.plain.externalIPs, 80, reach: Cluster.all,
            seenAs: Cluster.node.addresses
        )
    }

    @Test(
        "a load balancer's IP with policy Local keeps the client's address", arguments: Variant.here, Flow.allCases)
    func loadBalancerLocal(_ variant: Variant, _ flow: Flow) throws {
        try expect(
            variant, flow, from: "stranger", to: Cluster.local.loadBalancerIPs, 80,
            reach: ["web-1"], seenAs: Cluster.stranger.addresses)
    }

    @Test("source ranges let the right clients through", arguments: Variant.here, Flow.allCases)
    func sourceRanges(_ variant: Variant, _ flow: Flow) throws {
        for client in ["friend", "node"] {
            try expect(
                variant, flow, from: client, to: Cluster.ranges.loadBalancerIPs, 80,
                reach: Cluster.all, seenAs: Cluster.node.addresses)
        }
        try expectDrop(variant, flow, from: ["stranger", "pod"], to: Cluster.ranges.loadBalancerIPs, 80)
        // The node is as good as any other.
        try expectDrop(variant, flow, from: ["node"], to: Cluster.closed.loadBalancerIPs, 80)
        // They guard the load balancer's IP only.
        try expect(
            variant, flow, from: "stranger", to: Cluster.node.addresses, Cluster.ranges.nodePort,
            reach: Cluster.all, seenAs: Cluster.node.addresses)
    }

    // MARK: No endpoints

    @Test("a service without endpoints refuses at once", arguments: Variant.here, Flow.allCases)
    func reject(_ variant: Variant, _ flow: Flow) throws {
        // Between namespaces a refusal comes back inside the call to connect, which holds the socket: IPv6 then drops
        // it and is refused when it repeats its SYN after one second, as if the first had been lost.
        let isHeld = flow.transport == .tcp && flow.family == .ipv6
        let cluster = (Cluster.empty.clusterIPs, Service.port)
        let nodePort = (Cluster.node.addresses, Cluster.empty.nodePort)
        let external = (Cluster.empty.externalIPs, Service.port)
        // The node's own traffic to an external IP is not looked at: KUBE-EXTERNAL-SERVICES hangs in INPUT and FORWARD.
        let destinations = [
            "pod": [cluster, nodePort, external], "node": [cluster, nodePort],
            "stranger": [cluster, nodePort, external],
        ]
        let questions = destinations.flatMap { client, destinations in
            destinations.map { addresses, port in
                var question = question(flow, from: client, to: addresses, port, 4000)
                question.count = isHeld ? 1 : 3
                return question
            }
        }
        for (question, answers) in zip(questions, try TrafficLabs.lab(variant).ask(questions)) {
            let place = Comment("\(question.client) to \(question.address):\(question.port)")
            #expect(answers.count == question.count, place)
            for answer in answers {
                #expect(answer.outcome == .refused, place)
                // A busy machine takes its time; who hears nothing waits for four seconds.
                #expect(answer.milliseconds < 2500, place)
            }
            if !isHeld { #expect(answers.contains { $0.milliseconds < 1000 }, place) }
        }
    }

    // MARK: Choice of endpoint

    @Test("ClientIP affinity holds and expires", arguments: Variant.here, Flow.allCases)
    func affinity(_ variant: Variant, _ flow: Flow) async throws {
        let lab = try TrafficLabs.lab(variant)
        let sources = Cluster.crowd.addresses.filter { $0.contains(":") == (flow.family == .ipv6) }
        let address = flow.family.of(Cluster.sticky.clusterIPs)
        func servers(count: Int) throws -> [String?] {
            try lab.ask(from: "crowd", flow.transport, address, 80, count: count, sources: sources).map(\.server)
        }

        let held = try servers(count: 50)
        try #require(held.count == sources.count * 50)
        let chosen = stride(from: 0, to: held.count, by: 50).map { held[$0] }
        for (index, source) in sources.enumerated() {
            #expect(Set(held[index * 50..<index * 50 + 50]) == [chosen[index]], "\(source)")
        }
        #expect(!held.contains(nil))
        // Not all of twenty have drawn the same one, but in one run of 3^19.
        #expect(Set(chosen).count > 1)

        // In ipvs mode a client is remembered for as long as a connection is, and that is minutes with TCP.
        guard variant != .ipvs || flow.transport == .udp else { return }
        // Each of twenty clients draws anew once its two seconds are over. That all draw what they had happens in one
        // run of 3^20.
        try await Task.sleep(for: .seconds(3))
        let drawnAnew = try servers(count: 1)
        #expect(drawnAnew.count == sources.count)
        #expect(drawnAnew != chosen)
    }

    @Test(
        "three endpoints share 3,000 connections evenly", .outsideUserModeLinux, arguments: Variant.here,
        Cluster.Family.allCases)
    func balance(_ variant: Variant, _ family: Cluster.Family) throws {
        let answers = try TrafficLabs.lab(variant).ask(
            from: "pod", .tcp, family.of(Cluster.plain.clusterIPs), 80, count: 3000)
        #expect(answers.count == 3000)
        let counts = Cluster.all.sorted().map { name in answers.count { $0.server == name } }
        #expect(counts.reduce(0, +) == 3000)

        // Pearson's statistic of three counts whose sum is given has two degrees of freedom, so a fair choice exceeds
        // t with probability exp(-t / 2). One false alarm in a million runs is t = 2 ln 10^6 = 27.63.
        let expected = 1000.0
        let statistic = counts.map { (Double($0) - expected) * (Double($0) - expected) / expected }.reduce(0, +)
        #expect(statistic < 27.63, "\(counts)")
    }

    // MARK: Helpers

    /// Expects that a client reaches exactly these servers, all of which see it under the address of the flow's family.
    func expect(
        _ variant: Variant, _ flow: Flow, from client: String, to addresses: [String], _ port: UInt16,
        reach servers: Set<String>, seenAs clients: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let address = flow.family.of(addresses)
        // A virtual server has its endpoints take turns.
        let count = servers.count == 1 ? 3 : variant == .ipvs ? 6 : Self.enough
        let answers = try TrafficLabs.lab(variant).ask(from: client, flow.transport, address, port, count: count)
        #expect(answers.count == count, "\(client) to \(address):\(port)", sourceLocation: sourceLocation)
        let failed = answers.filter { $0.server == nil }
        #expect(failed.isEmpty, "\(client) to \(address):\(port)", sourceLocation: sourceLocation)
        #expect(
            Set(answers.compactMap(\.server)) == servers, "\(client) to \(address):\(port)",
            sourceLocation: sourceLocation)
        #expect(
            Set(answers.compactMap(\.client)) == [flow.family.of(clients)], "\(client) to \(address):\(port)",
            sourceLocation: sourceLocation)
    }

    /// Expects that packets of clients are lost.
    func expectDrop(
        _ variant: Variant, _ flow: Flow, from clients: [String], to addresses: [String], _ port: UInt16,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try expect(
            .timeout, variant, clients.map { question(flow, from: $0, to: addresses, port, 300) }, sourceLocation)
    }

    /// Expects that each of several packets is answered by a refusal, whether or not that is heard at once.
    func expectRefusal(
        _ variant: Variant, _ flow: Flow, _ asked: [(client: String, addresses: [String], port: UInt16)],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let questions = asked.map { question(flow, from: $0.client, to: $0.addresses, $0.port, 3000) }
        try expect(.refused, variant, questions, sourceLocation)
    }

    private func expect(
        _ outcome: TrafficLab.Answer.Outcome, _ variant: Variant, _ questions: [TrafficLab.Question],
        _ sourceLocation: SourceLocation
    ) throws {
        for (question, answers) in zip(questions, try TrafficLabs.lab(variant).ask(questions)) {
            #expect(
                answers.map(\.outcome) == [outcome], "\(question.client) to \(question.address):\(question.port)",
                sourceLocation: sourceLocation)
        }
    }

    private func question(
        _ flow: Flow, from client: String, to addresses: [String], _ port: UInt16, _ milliseconds: Int
    ) -> TrafficLab.Question {
        var question = TrafficLab.Question(client, flow.transport, flow.family.of(addresses), port)
        question.milliseconds = milliseconds
        return question
    }
}
