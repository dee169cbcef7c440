import ChainRenderer
import ProxyCore
import TestSupport
import Testing

/// Rules of table filter from lines after `-A `; chains are declared as they come up.
private func rules(_ lines: [String], table: String = "filter") throws -> RuleSet {
    let text = "*\(table)\n" + lines.map { "-A \($0)\n" }.joined() + "COMMIT\n"
    return try RuleSet(parsing: Array(text.utf8), family: .ipv4)
}

private func compare(
    _ wanted: [String], _ found: [String], table: String = "filter", leavesGuard: Bool = false
) throws -> [Finding] {
    RuleComparison(
        wanted: try rules(wanted, table: table), found: try rules(found, table: table),
        leavesGuardToKubelet: leavesGuard
    ).differences().findings
}

@Suite("Rule comparison")
struct RuleComparisonTests {
    @Test("finds every golden text equal to itself", arguments: GoldenCase.all)
    func itself(_ golden: GoldenCase) throws {
        for name in ["iptables.v4", "iptables.v6"] {
            let family: IPFamily = name.hasSuffix("4") ? .ipv4 : .ipv6
            let plain = try RuleSet(parsing: #require(golden.expected("\(name).restore")), family: family)
            let counting = try RuleSet(
                parsing: #require(golden.expected("\(name.replacing("iptables", with: "iptables-nfacct")).restore")),
                family: family)
            for (wanted, found) in [(plain, plain), (plain, counting), (counting, plain)] {
                let differences = RuleComparison(wanted: wanted, found: found, leavesGuardToKubelet: false)
                    .differences()
                #expect(differences.findings == [])
            }
        }
    }

    @Test("names every single rule that is missing, doubled or added once", arguments: GoldenCase.all)
    func everyRule(_ golden: GoldenCase) throws {
        for name in ["iptables.v4", "iptables.v6", "ipvs.v4", "ipvs.v6"] {
            let text = try #require(golden.expected("\(name).restore"))
            let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
            // Those with many endpoints hold nothing that the small ones do not.
            guard lines.count < 45 else { continue }
            let family: IPFamily = name.hasSuffix("4") ? .ipv4 : .ipv6
            let whole = try RuleSet(parsing: text, family: family)
            func compare(_ index: Int, _ replacement: [Substring]) throws -> [Finding] {
                let changed = lines[..<index] + replacement + lines[(index + 1)...]
                let found = try RuleSet(
                    parsing: Array((changed.joined(separator: "\n") + "\n").utf8), family: family)
                return RuleComparison(wanted: whole, found: found, leavesGuardToKubelet: false).differences().findings
            }
            for (index, line) in lines.enumerated() where line.hasPrefix("-A ") {
                let chain = line.split(separator: " ")[1]
                let missing = try compare(index, [])
                #expect(missing.map(\.kind) == [.missing], "\(line)")
                #expect(missing.first?.chain.map { $0 == chain } ?? (missing.first?.wanted == []), "\(line)")
                #expect(try compare(index, [line, line]).map(\.kind) == [.foreign], "\(line)")
                let added = try compare(index, [line, "-A \(chain) -s 192.0.2.1 -j QUEUE"])
                #expect(added.map(\.found) == [["-A \(chain) -s 192.0.2.1 -j QUEUE"]], "\(line)")
            }
        }
    }

    @Test(
        "lets rules stand in another order if no packet matches both, or both do the same",
        arguments: [
            ["KUBE-SERVICES -d 10.0.0.1 -j DROP", "KUBE-SERVICES -d 10.0.0.2 -j REJECT"],
            ["KUBE-SERVICES -d 10.0.0.0/24 -j DROP", "KUBE-SERVICES -d 10.0.1.0/24 -j REJECT"],
            ["KUBE-SERVICES -p tcp -j DROP", "KUBE-SERVICES -p udp -j REJECT"],
            ["KUBE-SERVICES -p tcp --dport 80 -j DROP", "KUBE-SERVICES -p tcp --dport 81:90 -j REJECT"],
            ["KUBE-SERVICES -s 10.0.0.1 -j DROP", "KUBE-SERVICES ! -s 10.0.0.0/8 -j REJECT"],
            ["KUBE-SERVICES -i eth0 -j DROP", "KUBE-SERVICES -i cali+ -j REJECT"],
            [
                "KUBE-SERVICES -m conntrack --ctstate NEW -j DROP",
                "KUBE-SERVICES -m conntrack --ctstate INVALID -j REJECT",
            ],
            ["KUBE-SERVICES -m mark --mark 1/1 -j DROP", "KUBE-SERVICES -m mark --mark 0/1 -j REJECT"],
            ["KUBE-SERVICES -d 10.0.0.1 -j DROP", "KUBE-SERVICES -s 10.0.0.1 -j DROP"],
            ["KUBE-SERVICES -d 10.0.0.1 -j LOG", "KUBE-SERVICES -s 10.0.0.1 -j DROP"],
            ["KUBE-SERVICES -j EMPTY", "KUBE-SERVICES -s 10.0.0.1 -j DROP", "EMPTY -j RETURN"],
        ])
    func freeOrder(_ lines: [String]) throws {
        let found = [lines[1], lines[0]] + lines.dropFirst(2)
        #expect(try compare(lines, found) == [])
    }

    @Test(
        "names a rule that was moved where a packet could tell",
        arguments: [
            ["KUBE-SERVICES -d 10.0.0.1 -j DROP", "KUBE-SERVICES -s 10.0.0.1 -j REJECT"],
            ["KUBE-SERVICES -d 10.0.0.0/24 -j DROP", "KUBE-SERVICES -d 10.0.0.1 -j REJECT"],
            ["KUBE-SERVICES -j RETURN", "KUBE-SERVICES -d 10.0.0.1 -j REJECT"],
            ["KUBE-SERVICES -i eth+ -j DROP", "KUBE-SERVICES -i eth0 -j REJECT"],
            [
                "KUBE-SERVICES -m conntrack --ctstate NEW,DNAT -j DROP",
                "KUBE-SERVICES -m conntrack --ctstate INVALID -j REJECT",
            ],
            [
                "KUBE-SERVICES -m mark --mark 1/1 -j MARK --set-xmark 0/1",
                "KUBE-SERVICES -m mark --mark 0/1 -j MARK --set-xmark 0/1",
            ],
            ["KUBE-SERVICES -m u32 --u32 0=1 -j DROP", "KUBE-SERVICES -d 10.0.0.1 -j REJECT"],
            ["KUBE-SERVICES -j FULL", "KUBE-SERVICES -s 10.0.0.1 -j DROP", "FULL -j ACCEPT"],
        ])
    func fixedOrder(_ lines: [String]) throws {
        let findings = try compare(lines, [lines[1], lines[0]] + lines.dropFirst(2))
        #expect(findings.count == 1)
        #expect(findings.first?.kind == .moved)
    }

    @Test("names the one rule that was moved past many")
    func movedPastMany() throws {
        let many = (1...50).map { "KUBE-SERVICES -d 10.0.0.\($0) -j REJECT" }
        let findings = try compare(many + ["KUBE-SERVICES -j RETURN"], ["KUBE-SERVICES -j RETURN"] + many)
        #expect(findings.map(\.wanted) == [["-A KUBE-SERVICES -j RETURN"]])
    }

    @Test("names an order that is another altogether once")
    func manyMoved() throws {
        let many = (1...500).map { "KUBE-SVC-AAAAAAAAAAAAAAAA -s 10.\($0 % 256).0.0/9 -m u32 --u32 \($0)=1 -j E\($0)" }
        let findings = try compare(many + ["E1 -j DROP"], many.reversed() + ["E1 -j DROP"])
        #expect(findings == [])
        let effects = many + (1...500).map { "E\($0) -j DROP" }
        let acting = try compare(effects, many.reversed() + (1...500).map { "E\($0) -j DROP" })
        #expect(acting.count == 1)
        #expect(acting.first?.detail == "the order of many rules is another")
    }

    @Test("takes KUBE-FIREWALL for the kubelet's where it is not wanted")
    func loopbackGuard() throws {
        let wanted = ["KUBE-SERVICES -d 10.0.0.1 -j DROP"]
        let found = wanted + ["INPUT -j KUBE-FIREWALL", "KUBE-FIREWALL -d 127.0.0.0/8 -j DROP"]
        #expect(try compare(wanted, found, leavesGuard: true) == [])
        #expect(try compare(wanted, found).count == 2)
        #expect(try compare(found, wanted, leavesGuard: true).count == 2)
    }

    @Test("lets a jump stand elsewhere as long as what its chain does is not touched")
    func jumps() throws {
        let chains = [
            "KUBE-FIREWALL -d 127.0.0.0/8 ! -s 127.0.0.0/8 -j DROP", "KUBE-NODEPORTS -p tcp --dport 30000 -j ACCEPT",
            "KUBE-PROXY-FIREWALL -d 10.0.0.1 -j DROP",
        ]
        func input(_ targets: String...) -> [String] { targets.map { "INPUT -j KUBE-\($0)" } + chains }
        #expect(try compare(input("FIREWALL", "PROXY-FIREWALL"), input("PROXY-FIREWALL", "FIREWALL")) == [])
        let told = try compare(input("FIREWALL", "NODEPORTS"), input("NODEPORTS", "FIREWALL"))
        #expect(told.map(\.kind) == [.moved])
        #expect(told.map(\.chain) == ["INPUT"])
    }

    @Test("knows that the loopback rule which counts must do the same as the next one")
    func loopbackCounting() throws {
        let rule = "KUBE-NODEPORTS -p tcp --dport 30000 -j KUBE-EXT-AAAAAAAAAAAAAAAA"
        let counting =
            "KUBE-NODEPORTS -d 127.0.0.0/8 -p tcp --dport 30000 -m nfacct --nfacct-name localhost_nps_accepted_pkts"
        #expect(try compare([rule], ["\(counting) -j KUBE-EXT-AAAAAAAAAAAAAAAA", rule], table: "nat") == [])
        #expect(try compare([rule], ["\(counting) -j KUBE-EXT-BBBBBBBBBBBBBBBB", rule], table: "nat").count == 1)
    }

    @Test("says once that nothing of a service is there")
    func wholeService() throws {
        let service = [
            "KUBE-SERVICES -d 10.0.0.1 -m comment --comment \"ns/a:x cluster IP\" -j KUBE-SVC-AAAAAAAAAAAAAAAA",
            "KUBE-SVC-AAAAAAAAAAAAAAAA -m comment --comment \"ns/a:x -> 10.1.0.1:80\" -j KUBE-SEP-CCCCCCCCCCCCCCCC",
            "KUBE-SEP-CCCCCCCCCCCCCCCC -p tcp -j DNAT --to-destination 10.1.0.1:80",
        ]
        let other = [
            "KUBE-SERVICES -d 10.0.0.2 -m comment --comment \"ns/b:x cluster IP\" -j KUBE-SVC-BBBBBBBBBBBBBBBB"
        ]
        let missing = try compare(service + other, other, table: "nat")
        #expect(missing.map(\.service) == ["ns/a:x"])
        #expect(missing.map(\.kind) == [.missing])
        let foreign = try compare(other, other + service, table: "nat")
        #expect(foreign.map(\.service) == ["ns/a:x"])
        #expect(foreign.map(\.kind) == [.foreign])
        let emptied = try compare(service + other, [service[0], service[1]] + other, table: "nat")
        #expect(emptied.map(\.service) == ["ns/a:x"])
        #expect(emptied.map(\.chain) == ["KUBE-SEP-CCCCCCCCCCCCCCCC"])
    }

    @Test("leaves other tables and other chains alone")
    func foreign() throws {
        #expect(try compare([], ["KUBE-MARK-DROP -j DROP", "KUBE-KUBELET-CANARY -j DROP", "X -j DROP"]) == [])
        #expect(try compare([], ["KUBE-SERVICES -j DROP"], table: "mangle") == [])
    }
}
