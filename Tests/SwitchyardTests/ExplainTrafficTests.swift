import Foundation
import TestSupport
import Testing

/// What `explain --live` tells in the node of a lab, held to what real connections then meet.
@Suite(
    "switchyard explain --live", .serialized,
    .enabled(if: TrafficLabs.obstacle == nil, "kernel: \(TrafficLabs.obstacle ?? "")"),
    .trafficLabs, .timeLimit(.minutes(15)))
struct ExplainTrafficTests {
    typealias Variant = TrafficLabs.Variant
    typealias Cluster = TrafficCluster
    typealias Family = TrafficCluster.Family

    /// The part of the JSON that connections can show.
    private struct Walk: Decodable {
        struct End: Decodable {
            var end: String
            var share: Double
            var source: String?
        }

        var ends: [End]
        var outcome: String
        var summary: [String]
        var notes: [String]
    }

    /// Who asks for what, and how that must end.
    private struct Ask {
        var client: String
        var addresses: [String]
        var port: UInt16
        var outcome: String

        init(_ client: String, _ addresses: [String], _ port: UInt16, _ outcome: String) {
            self.client = client
            self.addresses = addresses
            self.port = port
            self.outcome = outcome
        }
    }

    private static let asks = [
        Ask("pod", Cluster.plain.clusterIPs, 80, "web-1 web-2 web-3"),
        Ask("node", Cluster.plain.clusterIPs, 80, "web-1 web-2 web-3"),
        Ask("stranger", Cluster.plain.clusterIPs, 80, "web-1 web-2 web-3"),
        Ask("web-1", Cluster.mirror.clusterIPs, 80, "web-1"),
        Ask("pod", Cluster.inside.clusterIPs, 80, "web-1"),
        Ask("pod", Cluster.nowhere.clusterIPs, 80, "DROP"),
        Ask("stranger", Cluster.node.addresses, Cluster.plain.nodePort, "web-1 web-2 web-3"),
        Ask("stranger", Cluster.node.addresses, Cluster.local.nodePort, "web-1"),
        Ask("stranger", Cluster.node.addresses, Cluster.away.nodePort, "DROP"),
        Ask("pod", Cluster.node.addresses, Cluster.away.nodePort, "web-2 web-3"),
        Ask("node", Cluster.node.addresses, Cluster.away.nodePort, "web-2 web-3"),
        Ask("stranger", Cluster.plain.externalIPs, 80, "web-1 web-2 web-3"),
        Ask("stranger", Cluster.local.loadBalancerIPs, 80, "web-1"),
        Ask("friend", Cluster.ranges.loadBalancerIPs, 80, "web-1 web-2 web-3"),
        Ask("stranger", Cluster.ranges.loadBalancerIPs, 80, "DROP"),
        Ask("pod", Cluster.empty.clusterIPs, 80, "REJECT"),
        Ask("node", Cluster.empty.clusterIPs, 80, "REJECT"),
        Ask("node", Cluster.node.addresses, Cluster.empty.nodePort, "REJECT"),
        Ask("stranger", Cluster.empty.externalIPs, 80, "REJECT"),
        // No rule of ours in OUTPUT looks at external IPs, so it leaves for whoever has the address.
        Ask("node", Cluster.empty.externalIPs, 80, "-"),
    ]

    @Test("tells what connections meet", arguments: Variant.iptables, Family.allCases)
    func services(_ variant: Variant, _ family: Family) throws {
        for ask in Self.asks { try compare(variant, family, ask) }
    }

    @Test("tells what a stranger's rule makes of connections", arguments: Variant.iptables, Family.allCases)
    func strangers(_ variant: Variant, _ family: Family) throws {
        let endpoint = family.of(Cluster.servers[0].addresses)
        let other = family.of(Cluster.servers[1].addresses)
        let service = family.of(Cluster.mirror.clusterIPs)
        let target = family == .ipv4 ? "\(other):8080" : "[\(other)]:8080"
        let asks = { (outcome: String) in Ask("pod", Cluster.mirror.clusterIPs, 80, outcome) }
        for (table, rule, outcome) in [
            ("filter", ["FORWARD", "-d", endpoint, "-j", "DROP"], "DROP"),
            ("filter", ["FORWARD", "-p", "tcp", "--dport", "8080", "-j", "REJECT"], "REJECT"),
            ("raw", ["PREROUTING", "-d", service, "-j", "DROP"], "DROP"),
            ("mangle", ["FORWARD", "-m", "conntrack", "--ctorigdst", service, "-j", "DROP"], "DROP"),
            ("nat", ["PREROUTING", "-d", service, "-p", "tcp", "-j", "DNAT", "--to-destination", target], "web-2"),
        ] {
            try withRule(variant, family, table, rule) {
                let walk = try compare(variant, family, asks(outcome))
                #expect(walk.summary.joined().contains("a rule that is not of the services") || outcome == "web-2")
                #expect(walk.summary.joined().contains("A rule that is not of the services") || outcome != "web-2")
            }
        }
        try compare(variant, family, asks("web-1"))
    }

    // MARK: Helpers

    /// Puts a rule first in its chain while `body` runs, in the lab's node.
    private func withRule(
        _ variant: Variant, _ family: Family, _ table: String, _ rule: [String], _ body: () throws -> Void
    ) throws {
        let lab = try TrafficLabs.lab(variant)
        let program = (family == .ipv4 ? "iptables-" : "ip6tables-") + variant.rawValue
        try Command.require(lab.inside("node", [program, "-w", "-t", table, "-I"] + rule))
        defer { _ = try? Command.require(lab.inside("node", [program, "-w", "-t", table, "-D"] + rule)) }
        try body()
    }

    /// Asks `explain`, then connects, and expects that both say `ask.outcome`.
    @discardableResult
    private func compare(_ variant: Variant, _ family: Family, _ ask: Ask) throws -> Walk {
        let lab = try TrafficLabs.lab(variant)
        let host = try #require((Cluster.hosts + [Cluster.node]).first { $0.name == ask.client })
        let address = family.of(ask.addresses)
        let destination = family == .ipv4 ? "\(address):\(ask.port)" : "[\(address)]:\(ask.port)"
        let output = try Command.run(
            lab.inside(
                "node",
                [BuiltProducts.switchyard, "explain", "--live", "--variant", variant.rawValue, "--json"]
                    + ["--from", family.of(host.addresses), "--to", destination]))
        let place = Comment("\(ask.client) to \(destination): \(output.errors)")
        try #require(output.status == 0, place)
        let walk = try JSONDecoder().decode(Walk.self, from: Data(output.output.utf8))
        #expect(walk.notes.isEmpty, place)

        let servers = Dictionary(
            uniqueKeysWithValues: Cluster.servers.map { server in
                let address = family.of(server.addresses)
                return (family == .ipv4 ? "\(address):8080" : "[\(address)]:8080", server.name)
            })
        let told = walk.ends.map { servers[$0.end] ?? $0.end }
        #expect(told.sorted().joined(separator: " ") == ask.outcome, place)
        #expect(abs(walk.ends.reduce(0) { $0 + $1.share } - 1) < 1e-6, place)

        let isSpread = walk.ends.count > 1
        // A refusal over IPv6 is heard when the SYN is repeated after a second, as TrafficTests tells.
        let timeout = ask.outcome == "DROP" ? 300 : 3000
        let answers = try lab.ask(
            from: ask.client, .tcp, address, ask.port, count: isSpread ? TrafficTests.enough : 1, timeout: timeout)
        switch ask.outcome {
        case "DROP": #expect(answers.map(\.outcome) == [.timeout], place)
        case "REJECT": #expect(answers.map(\.outcome) == [.refused], place)
        case "-": #expect(answers.map(\.server) == ["world"], place)
        default:
            let node = family.of(Cluster.node.addresses)
            let expected = Set(
                zip(told, walk.ends).map { name, end in
                    "\(name) \(end.source == "masqueraded" ? node : end.source ?? "")"
                })
            #expect(Set(answers.map { "\($0.server ?? "nobody") \($0.client ?? "")" }) == expected, place)
        }
        return walk
    }
}
