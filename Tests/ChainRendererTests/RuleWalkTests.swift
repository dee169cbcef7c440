import ChainRenderer
import ProxyCore
import Testing

private let node = "192.168.0.2"
private let client = "203.0.113.5"
private let other = "10.0.0.1"

/// Follows a tcp packet through rules that are given table by table.
private func walk(
    _ tables: String, from source: String = client, to destination: String = other, in interface: String? = nil
) throws -> RuleWalkResult {
    let rules = try RuleSet(parsing: Array(tables.utf8), family: .ipv4)
    let packet = Packet(
        from: try #require(IPAddress(source)), to: try #require(IPAddress(destination)), port: 80,
        protocol: .tcp, inInterface: interface)
    let local = LocalAddresses([try #require(IPAddress(node)), .loopback(.ipv4)])
    return RuleWalk(rules, local: local).walk(try #require(packet), order: .host)
}

private func nat(_ rules: String) -> String { "*nat\n\(rules)\nCOMMIT\n" }
private func filter(_ rules: String) -> String { "*filter\n\(rules)\nCOMMIT\n" }

@Suite("RuleWalk")
struct RuleWalkTests {
    // MARK: Hooks

    @Test("hooks are chosen by where a packet comes from and where it goes after translation")
    func hooks() throws {
        let rules =
            ["raw", "mangle", "nat", "filter"].map { table in
                let chains = [
                    "raw": ["PREROUTING", "OUTPUT"], "nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
                    "filter": ["INPUT", "FORWARD", "OUTPUT"],
                    "mangle": ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
                ]
                return "*\(table)\n\((chains[table] ?? []).map { "-A \($0)\n" }.joined())COMMIT\n"
            }.joined()
        func path(_ source: String, _ destination: String) throws -> [String] {
            try walk(rules, from: source, to: destination).steps.map { "\($0.hook) \($0.table)" }
        }
        let arriving = ["PREROUTING raw", "PREROUTING mangle", "PREROUTING nat"]
        let leaving = ["POSTROUTING mangle", "POSTROUTING nat"]
        let sent = ["OUTPUT raw", "OUTPUT mangle", "OUTPUT nat", "OUTPUT filter"]
        #expect(try path(client, other) == arriving + ["FORWARD mangle", "FORWARD filter"] + leaving)
        #expect(try path(client, node) == arriving + ["INPUT mangle", "INPUT filter", "INPUT nat"])
        #expect(try path(node, other) == sent + leaving)
        // To itself it goes by loopback; the nat table is asked once.
        #expect(
            try path(node, node) == sent + leaving
                + ["PREROUTING raw", "PREROUTING mangle", "INPUT mangle", "INPUT filter"])
    }

    @Test("a translated destination decides between INPUT and FORWARD")
    func translated() throws {
        let rules = nat("-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination \(node):8080")
        let dropped = try walk(rules + filter("-A INPUT -p tcp --dport 8080 -j DROP"))
        #expect(dropped.fate.outcome == "DROP")
        #expect(try walk(rules + filter("-A FORWARD -j DROP")).fate.outcome == "\(node):8080")
    }

    // MARK: Chains

    @Test("RETURN leaves a chain, goto skips what stands behind it, and both end at the policy")
    func returns() throws {
        let user = ":USER - [0:0]\n:LAST - [0:0]\n"
        func outcome(_ rules: String) throws -> String { try walk(filter(user + rules)).fate.outcome }
        #expect(try outcome("-A FORWARD -j USER\n-A FORWARD -j DROP\n-A USER -j RETURN\n-A USER -j REJECT") == "DROP")
        #expect(try outcome("-A FORWARD -j USER\n-A FORWARD -j DROP\n-A USER -g LAST\n-A USER -j REJECT") == "DROP")
        #expect(try outcome("-A FORWARD -g USER\n-A FORWARD -j REJECT") == "-")
        #expect(try outcome(":FORWARD DROP [0:0]\n-A FORWARD -g USER\n-A FORWARD -j ACCEPT") == "DROP")
        #expect(try outcome(":FORWARD DROP [0:0]\n-A FORWARD -j RETURN\n-A FORWARD -j ACCEPT") == "DROP")
        #expect(try outcome(":FORWARD DROP [0:0]\n-A FORWARD -j ACCEPT") == "ACCEPT")
    }

    @Test("a drop by policy has a step without a rule")
    func policy() throws {
        let result = try walk(filter(":FORWARD DROP [0:0]"))
        let step = try #require(result.endings.first?.step)
        #expect(step.rule == nil && step.table == "filter" && step.chain == "FORWARD")
    }

    @Test("a circle and a chain that is not there are passed over, and told")
    func circles() throws {
        let result = try walk(filter(":A - [0:0]\n-A FORWARD -j A\n-A A -j A\n-A A -j NOWHERE\n-A A -j DROP"))
        #expect(result.fate.outcome == "DROP")
        #expect(
            result.notes == [
                "filter A: the way to A leads in a circle, which the kernel refuses; it is not followed",
                "filter A: there is no chain NOWHERE to go to: the walk goes on to the next rule",
            ])
    }

    @Test("rules made to keep a walk busy are given up, and that is told")
    func hostile() throws {
        // Each of forty chains goes to the next twice: a million million ways.
        let doubling = (0..<40).map { "-A C\($0) -j C\($0 + 1)\n-A C\($0) -j C\($0 + 1)\n" }.joined()
        let doubled = try walk(filter("-A FORWARD -j C0\n:C40 - [0:0]\n\(doubling)"))
        #expect(doubled.notes.contains { $0.contains("was given up in") })
        // Five thousand chains, each within the one before.
        let deep = (0..<5_000).map { "-A C\($0) -j C\($0 + 1)\n" }.joined()
        let dived = try walk(filter("-A FORWARD -j C0\n:C5000 - [0:0]\n\(deep)"))
        #expect(dived.notes.contains { $0.contains("leads through too many chains") })
        // Chance parts a packet forty times; marks tell all parts from each other.
        let parting = (0..<40).map {
            "-A FORWARD -m statistic --mode random --probability 0.5 -j MARK --or-mark \(1 << ($0 % 32))\n"
        }.joined()
        #expect(try walk(filter(parting)).notes.contains { $0.contains("parted the packet too often") })
    }

    @Test("parts that nothing tells apart are one again")
    func merging() throws {
        let parting = (0..<40).map { _ in
            "-A FORWARD -m statistic --mode random --probability 0.5 -j MARK --set-mark 1\n"
        }.joined()
        let result = try walk(filter(parting + "-A FORWARD -j DROP"))
        #expect(result.endings.count <= 2)
        #expect(abs((result.fate.branches.first?.share ?? 0) - 1) < 1e-9)
        #expect(result.notes.isEmpty)
    }

    // MARK: Targets

    @Test("marks are set, changed and matched by their bits")
    func marks() throws {
        func outcome(_ rules: String) throws -> String { try walk(filter(rules + "\n-A FORWARD -j DROP")).fate.outcome }
        let accept = "-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT"
        #expect(try outcome("-A FORWARD -j MARK --or-mark 0x4001\n\(accept)") == "ACCEPT")
        #expect(try outcome("-A FORWARD -j MARK --set-xmark 0x4000/0x4000\n\(accept)") == "ACCEPT")
        #expect(
            try outcome("-A FORWARD -j MARK --or-mark 0x4000\n-A FORWARD -j MARK --xor-mark 0x4000\n\(accept)")
                == "DROP")
        #expect(try outcome("-A FORWARD -m mark ! --mark 0x4000/0x4000 -j ACCEPT") == "ACCEPT")
    }

    @Test("SNAT and MASQUERADE say which source the receiver sees; the first of them counts")
    func sources() throws {
        func source(_ rules: String) throws -> PacketFate.Source? {
            try walk(nat(rules)).fate.branches.first?.source
        }
        #expect(try source("-A POSTROUTING -j MASQUERADE\n-A POSTROUTING -j SNAT --to-source 9.9.9.9") == .masqueraded)
        #expect(
            try source("-A POSTROUTING -j SNAT --to-source 9.9.9.9") == .translated(try #require(IPAddress("9.9.9.9"))))
        #expect(try source("-A POSTROUTING -j ACCEPT\n-A POSTROUTING -j MASQUERADE") == .unchanged)
    }

    @Test("an untracked packet passes the nat table by")
    func untracked() throws {
        let rules =
            "*raw\n-A PREROUTING -j NOTRACK\nCOMMIT\n" + nat("-A PREROUTING -j DNAT --to-destination 9.9.9.9:9")
            + filter(
                "-A FORWARD -m conntrack --ctstate NEW -j REJECT\n-A FORWARD -m conntrack --ctstate UNTRACKED -j DROP")
        #expect(try walk(rules).fate.outcome == "DROP")
    }

    @Test("REDIRECT leads to the node")
    func redirect() throws {
        let rules = nat(
            "-A PREROUTING -p tcp -j REDIRECT --to-ports 3128\n-A OUTPUT -p tcp -j REDIRECT --to-ports 3128")
        #expect(try walk(rules).fate.outcome == "\(node):3128")
        #expect(try walk(rules, from: node).fate.outcome == "127.0.0.1:3128")
    }

    @Test("a target that is not modelled is passed over, and told")
    func unknownTarget() throws {
        let result = try walk(filter("-A FORWARD -j NFQUEUE --queue-num 1\n-A FORWARD -j DROP"))
        #expect(result.fate.outcome == "DROP")
        #expect(
            result.notes == [
                "filter FORWARD: what the target NFQUEUE does is not followed: the walk goes on to the next rule"
            ])
    }

    // MARK: Matches

    @Test(
        "a first packet is matched",
        arguments: [
            ("-p tcp", true), ("-p udp", false), ("! -p udp", true), ("-s 203.0.113.0/24", true),
            ("! -s 203.0.113.0/24", false), ("-d 10.0.0.1", true), ("-p tcp -m tcp --dport 80", true),
            ("-p tcp -m tcp --dport 81:90", false), ("-p tcp -m multiport --dports 22,80", true),
            ("-p tcp -m tcp --syn", true), ("-p tcp -m tcp ! --syn", false),
            ("-m conntrack --ctstate NEW", true), ("-m conntrack --ctstate RELATED,ESTABLISHED", false),
            ("-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT", true), ("-m state --state NEW", true),
            ("-m conntrack --ctorigdst 10.0.0.1", true), ("-m addrtype --dst-type LOCAL", false),
            ("-m addrtype ! --dst-type LOCAL", true), ("-m addrtype --src-type LOCAL", false), ("-f", false),
            ("-m recent --name a --rcheck --seconds 9", false), ("-m recent --name a --set", true),
            ("-m recent ! --rcheck --name a", true), ("-m nfacct --nfacct-name a", true),
            ("-m comment --comment \"a b\"", true), ("-p icmp -m icmp --icmp-type 8", false),
            ("-i eth1", true), ("-i eth+", true), ("-i lo", false), ("! -i eth1", false),
            ("-p tcp -m tcp --sport 1024:65535", true), ("-p tcp -m tcp --sport 53", false),
        ])
    func matches(_ match: String, _ holds: Bool) throws {
        let result = try walk(filter("-A FORWARD \(match) -j DROP"), in: "eth1")
        #expect(result.fate.outcome == (holds ? "DROP" : "-"))
        #expect(result.notes.isEmpty)
    }

    @Test(
        "what a packet does not tell is taken not to match, and told",
        arguments: [
            ("-i eth0", "the interface that the packet comes in by is not known (-i eth0)"),
            ("! -i cni+", "the interface that the packet comes in by is not known (-i cni+)"),
            ("-o eth0", "the interface that the packet leaves by is not known (-o eth0)"),
            ("-m set --match-set bad src", "what the set bad has is not known"),
            ("-m string --string x --algo bm", "the match string is not followed"),
            ("-p tcp -m tcp --sport 40000", "the source port is not known"),
        ])
    func undecided(_ match: String, _ reason: String) throws {
        let result = try walk(filter("-A FORWARD \(match) -j DROP"))
        #expect(result.fate.outcome == "-")
        #expect(result.notes == ["filter FORWARD: the rule \"\(match) -j DROP\" was taken not to match: \(reason)"])
        // Where another match says no, there is nothing to tell.
        #expect(try walk(filter("-A FORWARD \(match) -d 10.0.0.2 -j DROP")).notes.isEmpty)
    }

    @Test("a limit is taken not to be reached, and told")
    func limit() throws {
        let result = try walk(filter("-A FORWARD -m limit --limit 1/sec -j ACCEPT\n-A FORWARD -j DROP"))
        #expect(result.fate.outcome == "ACCEPT")
        #expect(result.notes.count == 1)
    }

    // MARK: Chance

    @Test("chance splits a packet; shares multiply along the way and add up at the end")
    func shares() throws {
        let result = try walk(
            nat(
                """
                -A PREROUTING -m statistic --mode random --probability 0.5 -j DNAT --to-destination 9.9.9.1:1
                -A PREROUTING -m statistic --mode random --probability 0.5 -j DNAT --to-destination 9.9.9.2:2
                """)
                + filter("-A FORWARD -m statistic --mode random --probability 0.5 -d 9.9.9.1 -j DROP"))
        let shares = result.fate.branches.map { "\($0.end) \($0.share)" }
        #expect(shares == ["- 0.25", "9.9.9.1:1 0.25", "9.9.9.2:2 0.25", "DROP 0.25"])
    }

    // MARK: Rules of others around ours

    private static let service = nat(
        """
        :KUBE-SERVICES - [0:0]
        -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
        -A KUBE-SERVICES -d 10.0.0.1/32 -p tcp -m comment --comment "ns1/web:http cluster IP" -m tcp --dport 80 -j DNAT \
        --to-destination 10.180.1.9:8080
        """)

    @Test("a stranger's rule before ours is the answer, and is not called ours")
    func foreign() throws {
        func ending(_ first: String, _ rest: String = "") throws -> (String, RuleWalkResult.Step?) {
            let tables = Self.service.replacing("-A PREROUTING -m", with: first + "-A PREROUTING -m")
            let result = try walk(tables + rest)
            return (result.fate.outcome, result.endings.first?.step)
        }
        let ours = try ending("")
        #expect(ours.0 == "10.180.1.9:8080" && ours.1?.isOurs == true && ours.1?.service == "ns1/web:http")
        let translated = try ending("-A PREROUTING -p tcp -j DNAT --to-destination 7.7.7.7:7\n")
        #expect(translated.0 == "7.7.7.7:7" && translated.1?.isOurs == false)
        #expect(try ending("-A PREROUTING -j ACCEPT\n").0 == "-")
        let dropped = try ending("", filter("-A FORWARD -d 10.180.1.9 -j DROP"))
        #expect(dropped.0 == "DROP" && dropped.1?.chain == "FORWARD" && dropped.1?.isOurs == false)
        #expect(try ending("", filter("-A FORWARD -d 10.180.1.9 -j REJECT")).0 == "REJECT")
        #expect(try ending("", "*raw\n-A PREROUTING -d 10.0.0.1 -j DROP\nCOMMIT\n").0 == "DROP")
    }

    @Test("a service is named by the comment of the rule or of those before it")
    func services() throws {
        let result = try walk(
            nat(
                """
                :KUBE-SERVICES - [0:0]
                :KUBE-SVC-A - [0:0]
                -A PREROUTING -j KUBE-SERVICES
                -A KUBE-SERVICES -m comment --comment "masquerade traffic for ns1/web external destinations" -j KUBE-SVC-A
                -A KUBE-SVC-A -j DNAT --to-destination 10.180.1.9:8080
                """))
        #expect(result.steps.map(\.service) == [nil, "ns1/web", "ns1/web"])
        #expect(result.steps.map(\.depth) == [0, 1, 2])
    }
}
