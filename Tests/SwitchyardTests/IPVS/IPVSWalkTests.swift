import ChainRenderer
import GoldenSupport
import IPVSBackend
import ProxyCore
import TestSupport
import Testing

@Suite("A walk through virtual servers and rules")
struct IPVSWalkAgreementTests {
    @Test("ends every packet of the flows tables where the walk over the plans does", arguments: GoldenCase.all)
    func agreement(_ golden: GoldenCase) throws {
        let name = "flows.iptables.v4.tsv"
        guard let bytes = golden.expected(name) else { return }
        let cluster = try GoldenCluster(golden, mode: .ipvs)
        let table = try golden.ipvsTable(.ipv4)
        let rules = RuleWalk(
            try RuleSet(wanted: table.rules()), local: cluster.local,
            servers: WalkedServers(table.kernelState(), .ipv4))
        let plans = cluster.planWalk(.ipv4)
        for row in try FlowTable.read(String(decoding: bytes, as: UTF8.self), name: name) {
            let walked = rules.walk(row.packet, order: .host).fate
            let expected = plans.fate(of: row.packet, order: .host)
            #expect(walked.outcome == expected.outcome, "\(row.packet)")
            // Packets that no service takes may be masqueraded for a node port that is served elsewhere.
            guard expected.outcome.contains(":") else { continue }
            #expect(walked.branches.map(\.source) == expected.branches.map(\.source), "\(row.packet)")
        }
    }

    @Test("drops what the node asks of a load-balancer IP that it may not use, from that IP")
    func refusal() throws {
        let golden = GoldenCase.named("dual-stack")
        let table = try golden.ipvsTable(.ipv4)
        var state = table.kernelState()
        let key = try #require(state.sets[.guardedLoadBalancerIPs]?.entries.first)
        guard case .addressAndPort(let server) = key else {
            Issue.record("\(key)")
            return
        }
        let packet = try #require(
            Packet(from: server.address, to: server.address, port: server.port, protocol: server.protocol))
        let line =
            "*filter\n-A OUTPUT -s \(server.address) -m ipvs --vaddr \(server.address) --vproto tcp "
            + "--vport \(server.port) -j DROP\nCOMMIT\n"
        let rules = try RuleSet(parsing: Array(line.utf8), family: .ipv4)
        func outcome() -> String {
            RuleWalk(rules, local: LocalAddresses([]), servers: WalkedServers(state, .ipv4))
                .walk(packet, order: .host).fate.outcome
        }
        #expect(outcome() == "DROP")
        // Without the virtual server no packet has met one.
        state.servers[server] = nil
        #expect(outcome() == "-")
    }
}

@Suite("switchyard explain --live in ipvs mode", .insideUserModeLinux)
struct IPVSExplainTests {
    @Test("follows the kernel's virtual servers, with weights and what is drained")
    func live() throws {
        let golden = GoldenCase.named("affinity")
        let namespace = try Namespace()
        let commands = ["link set lo up", "addr add 192.168.0.2/32 dev lo"]
        try namespace.require(["ip", "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
        let options = ["--mode", "ipvs", "--variant", "legacy", "-f", golden.cluster, "--config", golden.configuration]
        try namespace.require([BuiltProducts.switchyard, "apply", "--family", "ipv4"] + options)
        try namespace.require(
            ["ipvsadm", "--restore"],
            input: "-e -t 172.30.1.1:80 -r 10.180.0.9:8080 -m -w 0\n-e -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 3\n")
        let explain = [BuiltProducts.switchyard, "explain", "--live", "--from", "203.0.113.5", "--to", "172.30.1.1:80"]
        let output = try namespace.require(explain + options)
        for words in [
            " 100 %           virtual server tcp 172.30.1.1:80, scheduler rr, persistence 10800 s, 3 real servers\n",
            "   0 %           real server 10.180.0.9:8080, weight 0, which gets no new connections\n",
            "  50 %           real server 10.180.1.9:8080, weight 3\n", "(entry 172.30.1.1,tcp:80)\n",
            "It goes to one of 2 endpoints of ns1/web:http: 10.180.1.9:8080 (50 %), 10.180.2.9:8080 (50 %). "
                + "Each sees the source 192.168.0.2, which is the node's (masqueraded).\n",
        ] {
            #expect(output.contains(words), "\(output)")
        }
    }

    @Test("of another mode warns of virtual servers, as diff does, and only where they are services'")
    func otherMode() throws {
        let node = try IPVSCommandNode()
        let golden = GoldenCase.named("affinity")
        let options = ["--variant", "legacy", "-f", golden.cluster, "--config", golden.configuration]
        func errors(_ command: [String]) throws -> String {
            let result = try node.namespace.run([BuiltProducts.switchyard] + command + options)
            #expect(result.status == (command[0] == "diff" ? 1 : 0), "\(result)")
            return result.errors
        }
        let explain = ["explain", "--live", "--from", "203.0.113.5", "--to", "172.30.1.1:80"]
        func warning(_ done: String) -> String {
            "switchyard: warning: this node has virtual servers of services, which are not \(done); see --mode ipvs\n"
        }
        try node.namespace.require(["ipvsadm", "--restore"], input: "-A -t 9.9.9.9:80 -s wlc\n")
        #expect(try errors(explain) == "")
        #expect(try node.apply("affinity", mode: "ipvs").status == 0)
        #expect(try errors(explain) == warning("followed"))
        #expect(try errors(["diff"]).contains(warning("compared")))
        #expect(try errors(explain + ["--mode", "ipvs"]) == "")
    }

    @Test("follows what is there where no cluster is given, in either family")
    func foreign() throws {
        let namespace = try Namespace()
        let commands = ["link add kube-ipvs0 type dummy", "addr add 2001:db8::80/128 dev kube-ipvs0"]
        try namespace.require(["ip", "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
        let servers = """
            -A -t [2001:db8::80]:80 -s wrr
            -a -t [2001:db8::80]:80 -r [fd00::1]:8080 -m -w 3
            -a -t [2001:db8::80]:80 -r [fd00::2]:8080 -m -w 1

            """
        try namespace.require(["ipvsadm", "--restore"], input: servers)
        let output = try namespace.require([
            BuiltProducts.switchyard, "explain", "--live", "--mode", "ipvs", "--variant", "legacy", "--from",
            "2001:db8:cafe::5", "--to", "[2001:db8::80]:80",
        ])
        #expect(
            output.contains("It goes to one of 2 endpoints: [fd00::1]:8080 (75 %), [fd00::2]:8080 (25 %). "),
            "\(output)")
    }
}
