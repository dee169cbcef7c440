import Foundation
import TestSupport
import Testing

private let yaobank = GoldenCase.named("yaobank")

private func explain(_ arguments: [String], input: String = "") throws -> Command.Result {
    try Command.run([BuiltProducts.switchyard, "explain"] + arguments, input: input)
}

private func explain(_ golden: GoldenCase, _ arguments: String...) throws -> Command.Result {
    try explain(["-f", golden.cluster, "--config", golden.configuration] + arguments)
}

/// One file of `golden/explain`: a packet and what is told about it.
private struct Walk: CustomTestStringConvertible, Sendable {
    var name: String
    var cluster: String
    var arguments: [String]

    var testDescription: String { name }
    var file: URL { GoldenCase.root.appending(path: "explain/\(name)") }

    init(_ name: String, _ cluster: String, _ arguments: String...) {
        self.name = name
        self.cluster = cluster
        self.arguments = arguments
    }

    static let all = [
        Walk("pod-to-cluster-ip.txt", "yaobank", "--from", "198.19.17.200", "--to", "198.19.36.113:80"),
        Walk("pod-to-itself.txt", "yaobank", "--from", "198.19.21.1", "--to", "198.19.36.113:80"),
        Walk("pod-to-itself.json", "yaobank", "--from", "198.19.21.1", "--to", "198.19.36.113:80", "--json"),
        Walk("client-to-node-port.txt", "yaobank", "--from", "203.0.113.5", "--to", "198.19.0.2:30180"),
        Walk("node-to-loopback-port.txt", "yaobank", "--from", "127.0.0.1", "--to", "127.0.0.1:30180"),
        Walk("wrong-port.txt", "yaobank", "--from", "203.0.113.5", "--to", "198.19.36.113:81"),
        Walk(
            "outside-the-ranges.txt", "loadbalancer-source-ranges", "--from", "203.0.113.200", "--to", "1.2.3.4:80"),
        Walk("no-endpoints.txt", "external-ips-no-endpoints", "--from", "203.0.113.5", "--to", "192.168.99.11:80"),
        Walk("no-local-endpoint.txt", "loadbalancer-local-no-local", "--from", "203.0.113.5", "--to", "1.2.3.4:80"),
        Walk("health-check.txt", "loadbalancer-local-no-local", "--from", "203.0.113.5", "--to", "192.168.0.2:32001"),
        Walk("ipv6.txt", "dual-stack", "--from", "fd00:10:180:1::c8", "--to", "[fd00:10:96::11]:80"),
        Walk("ipvs-cluster-ip.txt", "affinity", "--from", "203.0.113.5", "--to", "172.30.1.1:80", "--mode", "ipvs"),
        Walk(
            "ipvs-to-itself.json", "affinity", "--from", "10.180.1.9", "--to", "172.30.1.1:80", "--mode", "ipvs",
            "--json"),
        Walk(
            "ipvs-outside-the-ranges.txt", "loadbalancer-source-ranges", "--from", "203.0.113.200", "--to",
            "1.2.3.4:80", "--mode", "ipvs"),
        Walk(
            "ipvs-no-endpoints.txt", "external-ips-no-endpoints", "--from", "203.0.113.5", "--to", "192.168.99.11:80",
            "--mode", "ipvs"),
        Walk("ipvs-wrong-port.txt", "affinity", "--from", "192.168.0.2", "--to", "172.30.1.1:81", "--mode", "ipvs"),
        Walk(
            "ipvs-ipv6.txt", "dual-stack", "--from", "2001:db8:cafe::5", "--to", "[2001:db8:99::4]:80", "--mode",
            "ipvs"),
        Walk("unknown-interface.txt", "detect-bridge", "--from", "10.180.1.200", "--to", "172.30.1.1:80"),
    ]
}

@Suite("switchyard explain")
struct ExplainCommandTests {
    @Test("draws the walk", arguments: Walk.all)
    private func drawing(_ walk: Walk) throws {
        let golden = GoldenCase.named(walk.cluster)
        let result = try explain(["-f", golden.cluster, "--config", golden.configuration] + walk.arguments)
        #expect(result.status == 0)
        #expect(result.errors.isEmpty)
        if ProcessInfo.processInfo.environment["RECORD_GOLDEN"] == "1" {
            let folder = walk.file.deletingLastPathComponent()
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data(result.output.utf8).write(to: walk.file)
            Issue.record("recorded")
            return
        }
        let expected = try String(contentsOf: walk.file, encoding: .utf8)
        #expect(result.output == expected)
    }

    @Test("fills a flows table in, byte for byte", arguments: GoldenCase.all)
    func probes(_ golden: GoldenCase) throws {
        guard let expected = golden.expected("flows.iptables.v4.tsv") else { return }
        let result = try explain(golden, "--probes", golden.path("flows.iptables.v4.tsv"))
        #expect(result.status == 0)
        #expect(Array(result.output.utf8) == expected)
    }

    @Test("fills in what has four columns, over saved rules as well")
    func fourColumns() throws {
        let expected = String(decoding: try #require(yaobank.expected("flows.iptables.v4.tsv")), as: UTF8.self)
        let probes = expected.split(separator: "\n").map { line in
            line.split(separator: "\t").prefix(4).joined(separator: "\t") + "\n"
        }.joined()
        let wanted = try explain(
            ["-f", yaobank.cluster, "--config", yaobank.configuration, "--probes", "-"], input: probes)
        #expect(wanted.output == expected)
        let saved = try explain(
            ["--saved", yaobank.path("iptables.v4.restore"), "--node-address", "198.19.0.2", "--probes", "-"],
            input: probes)
        #expect(saved.output == expected)
        #expect(saved.errors.isEmpty)
    }

    @Test("fills in a table in ipvs mode, where virtual servers take part and every packet goes as on a host")
    func probesOfServers() throws {
        let golden = GoldenCase.named("loadbalancer-source-ranges")
        let table = """
            # source	protocol	destination	port	outcome	masquerade
            203.0.113.5	tcp	1.2.3.4	80	10.180.0.9:8080,10.180.1.9:8080,10.180.2.9:8080	true
            203.0.113.200	tcp	1.2.3.4	80	DROP	false
            203.0.113.5	tcp	1.2.3.4	81	REJECT	false

            """
        let result = try explain(
            ["-f", golden.cluster, "--config", golden.configuration, "--mode", "ipvs", "--probes", "-"], input: table)
        #expect(result.output == table, "\(result.errors)")
    }

    @Test("tells apart whose rule ends a packet in a saved file")
    func saved() throws {
        let rules = String(decoding: try #require(yaobank.expected("iptables.v4.restore")), as: UTF8.self)
        func sentence(_ first: String, in table: String) throws -> String {
            let jump = "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
            var text = rules
            for (name, lines) in ["nat": jump, "filter": ""] {
                text = text.replacingOccurrences(
                    of: "*\(name)\n", with: "*\(name)\n" + (name == table ? first : "") + lines)
            }
            let result = try explain(
                ["--saved", "-", "--node-address", "198.19.0.2"]
                    + ["--from", "198.19.17.200", "--to", "198.19.33.51:2379"],
                input: text)
            #expect(result.status == 0)
            return String(result.output.split(separator: "\n").last ?? "")
        }
        #expect(
            try sentence("", in: "nat")
                == "It goes to 198.19.21.69:2379, the endpoint of yaobank/database:http. It sees the source 198.19.17.200."
        )
        #expect(
            try sentence("-A PREROUTING -d 198.19.33.51 -p tcp -j DNAT --to-destination 10.9.9.9:1\n", in: "nat")
                == "It goes to 10.9.9.9:1. It sees the source 198.19.17.200. A rule that is not of the services sends it "
                + "there: nat PREROUTING -d 198.19.33.51 -p tcp -j DNAT --to-destination 10.9.9.9:1.")
        #expect(
            try sentence("-A FORWARD -d 198.19.21.69 -j DROP\n", in: "filter")
                == "It is dropped without an answer, by a rule that is not of the services: filter FORWARD "
                + "-d 198.19.21.69 -j DROP.")
        #expect(
            try sentence("-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\n", in: "filter")
                == "It is refused with an answer, by a rule that is not of the services: filter FORWARD "
                + "-p tcp -j REJECT --reject-with tcp-reset.")
        #expect(
            try sentence(":FORWARD DROP [0:0]\n", in: "filter")
                == "It is dropped without an answer, by the policy of a built-in chain: filter FORWARD.")
    }

    @Test("shows the counters of a save that has them")
    func counters() throws {
        let save = "*nat\n[7:420] -A PREROUTING -p tcp -j DNAT --to-destination 10.9.9.9:1\nCOMMIT\n"
        let result = try explain(
            ["--saved", "-", "--node-address", "10.0.0.1", "--from", "10.0.0.2", "--to", "10.0.0.3:1"], input: save)
        #expect(
            result.output == """
                A first tcp packet from 10.0.0.2 to 10.0.0.3:1, which comes in to the node:

                   share  packets  rule
                PREROUTING, table nat
                   100 %        7  -p tcp -j DNAT --to-destination 10.9.9.9:1

                It goes to 10.9.9.9:1. It sees the source 10.0.0.2. A rule that is not of the services sends it there: \
                nat PREROUTING -p tcp -j DNAT --to-destination 10.9.9.9:1.

                """)
    }

    @Test("warns if no address of the node is known")
    func noAddress() throws {
        let result = try explain(["--saved", "-", "--from", "10.0.0.2", "--to", "10.0.0.3:1"], input: "*nat\nCOMMIT\n")
        #expect(result.status == 0)
        #expect(
            result.output == """
                A first tcp packet from 10.0.0.2 to 10.0.0.3:1, which comes in to the node:

                It goes to 10.0.0.3:1 as it was sent: no rule takes it.

                """)
        #expect(result.errors.contains("no address of the node is known but loopback"))
    }

    @Test("refuses bad input with a sentence and status 2")
    func badInput() throws {
        for (arguments, sentence) in [
            (["--from", "1.2.3", "--to", "1.1.1.1:1"], "--from \"1.2.3\": not an IP address"),
            (["--from", "1.2.3.4", "--to", "1.1.1.1:x"], "--to \"1.1.1.1:x\": \"x\" is not a port from 1 to 65535"),
            (["--from", "1.2.3.4", "--to", "1.1.1.1:0"], "\"0\" is not a port from 1 to 65535"),
            (["--from", "1.2.3.4", "--to", "1.1.1.1"], "not of the form ADDRESS:PORT, or [ADDRESS]:PORT for IPv6"),
            (["--from", "1.2.3.4", "--to", "fd00::1:80"], "not of the form ADDRESS:PORT, or [ADDRESS]:PORT for IPv6"),
            (["--from", "1.2.3.4", "--to", "[fd00::1]:80"], "--from 1.2.3.4 is of IPv4, --to fd00::1 of IPv6"),
            (["--from", "1.2.3.4"], "Name a packet with --from"),
            (["--from", "1.2.3.4", "--to", "1.1.1.1:1", "--protocol", "icmp"], "one of 'tcp', 'udp' or 'sctp'"),
            (
                ["--from", "1.2.3.4", "--to", "1.1.1.1:1", "--node-address", "x"],
                "--node-address \"x\": not an IP address"
            ),
            (
                ["--from", "1.2.3.4", "--to", "1.1.1.1:1", "--saved", "/nowhere"],
                "/nowhere: error: cannot be opened: No such file or directory"
            ),
            (["--from", "1.2.3.4", "--to", "1.1.1.1:1", "--live", "--saved", "x"], "exclude each other"),
            (["--probes", yaobank.cluster, "--json"], "--json has no use with --probes"),
            (["--probes", yaobank.configuration], "config.yaml:1: error: a row needs source, protocol"),
        ] {
            let result = try explain(["-f", yaobank.cluster, "--config", yaobank.configuration] + arguments)
            #expect(result.status == 2, "\(arguments)")
            #expect(result.errors.contains(sentence), "\(arguments): \(result.errors)")
            #expect(result.output.isEmpty)
        }
        let save = "# Generated by ip6tables-save v1.8.9\n*nat\nCOMMIT\n"
        let other = try explain(["--saved", "-", "--from", "1.2.3.4", "--to", "1.1.1.1:1"], input: save)
        #expect(other.status == 2)
        #expect(other.errors.contains("this is a save of ip6tables-save, but the packet is of IPv4"))
        let broken = try explain(["--saved", "-", "--from", "1.2.3.4", "--to", "1.1.1.1:1"], input: "*nat\nhello\n")
        #expect(broken.status == 2)
        #expect(broken.errors.contains("standard input:2: error: \"hello\""))
    }
}
