import Foundation
import ProxyCore
import TestSupport
import Testing

extension Namespace {
    fileprivate func apply(_ cluster: String, _ variant: String) throws {
        let golden = GoldenCase.named(cluster)
        try require(
            [BuiltProducts.switchyard, "apply", "-f", golden.cluster, "--config", golden.configuration]
                + ["--variant", variant])
    }

    fileprivate func cleanup(_ arguments: String...) throws -> Command.Result {
        try run([BuiltProducts.switchyard, "cleanup"] + arguments)
    }

    /// All tables of both families, with counters.
    fileprivate func save(_ variant: String) throws -> String {
        try ["iptables", "ip6tables"].map { try require(["\($0)-\(variant)-save", "-c"]) }.joined()
    }

    /// Without counters, in an order of its own.
    fileprivate func chainsAndRules(_ variant: String) throws -> [String] {
        try save(variant).split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            line.split(separator: " ").filter { !$0.hasPrefix("[") }.joined(separator: " ")
        }.sorted()
    }

    fileprivate func restore(_ program: String, _ text: String) throws {
        try require([program + "-restore", "--noflush", "--counters"], input: text)
    }

    fileprivate func addForeignRules(_ variant: String) throws {
        try restore("iptables-\(variant)", try ForeignRules.text(.ipv4))
        try restore("ip6tables-\(variant)", try ForeignRules.text(.ipv6))
    }
}

/// What stays of KUBE-FIREWALL in both families, without counters: the rule is there where loopback is guarded.
private func loopbackGuard(hasRule: Bool) -> [String] {
    let each = [":KUBE-FIREWALL -", "-A INPUT -j KUBE-FIREWALL", "-A OUTPUT -j KUBE-FIREWALL"]
    let rule =
        "-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block incoming localnet connections\" "
        + "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
    return (each + each + (hasRule ? [rule] : [])).sorted()
}

/// The lines about KUBE-FIREWALL without their counters, and all the others.
private func split(_ save: String) -> (loopbackGuard: [String], rest: [String]) {
    let lines = save.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
    let guarding = lines.filter { $0.contains("KUBE-FIREWALL") }.map { line in
        line.split(separator: " ").filter { !$0.hasPrefix("[") }.joined(separator: " ")
    }
    return (guarding, lines.filter { !$0.contains("KUBE-FIREWALL") })
}

@Suite(
    "switchyard cleanup",
    .kernel("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft", "nft", "nfacct"))
struct CleanupCommandTests {
    private static let clusters = [
        "yaobank", "loadbalancer-source-ranges", "dual-stack", "affinity", "nodeport", "nodeport-no-localhost",
        "external-ips", "terminating-mixed",
    ]

    @Test(
        "leaves the tables as they were before apply, with foreign rules, policies and counters, and KUBE-FIREWALL",
        arguments: ["legacy", "nft"])
    func asBefore(_ variant: String) throws {
        for cluster in Self.clusters {
            let namespace = try Namespace()
            try namespace.addForeignRules(variant)
            let before = split(try namespace.save(variant))
            #expect(before.loopbackGuard == [])
            #expect(before.rest.count { $0 == ":FORWARD DROP [3:180]" } == 2)
            try namespace.apply(cluster, variant)
            let applied = split(try namespace.save(variant))
            #expect(ForeignRules.lines(of: applied.rest.joined(separator: "\n")) == before.rest, "\(cluster)")
            #expect(applied.rest.count > before.rest.count + 60, "\(cluster)")
            let result = try namespace.cleanup()
            #expect(result.status == 0, "\(cluster): \(result.errors)")
            let after = split(try namespace.save(variant))
            #expect(after.rest == before.rest, "\(cluster)")
            let isGuarded = cluster != "nodeport-no-localhost"
            #expect(after.loopbackGuard.sorted() == loopbackGuard(hasRule: isGuarded), "\(cluster)")
            #expect(result.errors.contains("chain KUBE-FIREWALL stays"))
            #expect(result.errors.contains("route_localnet stays 1, and KUBE-FIREWALL keeps") == isGuarded)
            #expect(try namespace.require(["nfacct", "list"]) == "")
        }
    }

    @Test("cleans both variants and both families at once; a second time there is nothing to remove")
    func everything() throws {
        let namespace = try Namespace()
        try namespace.apply("dual-stack", "legacy")
        try namespace.apply("dual-stack", "nft")
        let first = try namespace.cleanup()
        #expect(first.status == 0)
        for place in ["IPv4, legacy", "IPv6, legacy", "IPv4, nft", "IPv6, nft"] {
            #expect(first.errors.contains("switchyard: \(place): removed "), "\(first.errors)")
        }
        #expect(first.errors.contains("removed 2 accounting objects"))
        let after = try namespace.save("legacy") + namespace.save("nft")
        #expect(!after.contains("KUBE-S") && !after.contains("kubernetes"))
        let second = try namespace.cleanup()
        #expect(second.status == 0 && second.output == "")
        #expect(second.errors.contains("there is nothing to remove"))
        #expect(!second.errors.contains("removed"))
    }

    @Test("a dry run lists everything and removes nothing")
    func dryRun() throws {
        let namespace = try Namespace()
        try namespace.apply("nodeport", "nft")
        let before = try namespace.save("nft").split(separator: "\n").filter { !$0.hasPrefix("#") }
        let result = try namespace.cleanup("--dry-run")
        #expect(result.status == 0)
        #expect(try namespace.save("nft").split(separator: "\n").filter { !$0.hasPrefix("#") } == before)
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(lines[0] == "IPv4, nft: 14 chains, 23 rules and 12 jumps")
        #expect(lines.contains("IPv6, nft: 9 chains, 8 rules and 12 jumps"))
        #expect(lines.contains("  chain -t nat KUBE-POSTROUTING, 3 rules"))
        let jump = #"-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES"#
        #expect(lines.contains("  jump -t nat " + jump))
        #expect(lines.suffix(2).allSatisfy { $0.hasPrefix("accounting object ") })
        #expect(try namespace.require(["nfacct", "list"]).contains("localhost_nps_accepted_pkts"))
        #expect(result.errors.contains("KUBE-FIREWALL stays"))
    }

    @Test("says once that the kernel has no IPv6")
    func onlyIPv4() throws {
        let namespace = try Namespace()
        // In the process's own view /proc/net is empty, and there with if_inet6.
        let result = try namespace.run([
            "unshare", "--mount", "sh", "-ec", "mount -t tmpfs none /proc/$$/net; exec \"$@\"", "sh",
            BuiltProducts.switchyard, "cleanup",
        ])
        #expect(result.status == 0, "\(result.errors)")
        let sentence = "switchyard: note: the kernel has no IPv6; only IPv4 is cleaned up\n"
        #expect(result.errors.components(separatedBy: sentence).count == 2, "\(result.errors)")
    }

    @Test("makes no table where there is none")
    func noTables() throws {
        let namespace = try Namespace()
        let result = try namespace.cleanup()
        #expect(result.status == 0 && result.errors.contains("there is nothing to remove"), "\(result.errors)")
        for names in ["ip_tables_names", "ip6_tables_names"] {
            #expect(try namespace.run(["cat", "/proc/net/\(names)"]).output == "")
        }
        #expect(try namespace.require(["nft", "list", "ruleset"]) == "")
    }

    @Test(
        "a chain that a foreign rule leads to is emptied and kept, and the rule is named",
        arguments: ["iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"])
    func foreignJump(_ program: String) throws {
        let namespace = try Namespace()
        try namespace.apply("dual-stack", program.hasSuffix("nft") ? "nft" : "legacy")
        let rules = [
            "-A PREROUTING -p sctp -j KUBE-SERVICES", "-A OUTPUT -g KUBE-MARK-MASQ", "-A MINE -j KUBE-SERVICES",
        ]
        try namespace.restore(program, "*nat\n:MINE - [0:0]\n\(rules.joined(separator: "\n"))\nCOMMIT\n")
        let result = try namespace.cleanup()
        #expect(result.status == 1)
        let left = try namespace.require([program + "-save", "-t", "nat"]).split(separator: "\n").map(String.init)
        #expect(left.filter { $0.hasPrefix("-A ") }.sorted() == rules.sorted())
        #expect(left.filter { $0.hasPrefix(":KUBE-") }.count == 2)
        for rule in rules { #expect(result.errors.contains("-t nat \(rule)\n"), "\(result.errors)") }
        let second = try namespace.cleanup()
        #expect(second.status == 1 && second.errors.contains(rules[0]) && !second.errors.contains("removed 1"))
    }

    @Test("leftovers of other versions of kube-proxy go, those of the kubelet stay", arguments: ["legacy", "nft"])
    func leftovers(_ variant: String) throws {
        let namespace = try Namespace()
        let text = """
            *mangle
            :KUBE-PROXY-CANARY - [0:0]
            :KUBE-KUBELET-CANARY - [0:0]
            :KUBE-IPTABLES-HINT - [0:0]
            COMMIT
            *filter
            :KUBE-PROXY-CANARY - [0:0]
            :KUBE-SERVICES - [0:0]
            :KUBE-NODE-PORT - [0:0]
            :KUBE-FIREWALL - [0:0]
            -A INPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
            -A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
            -A OUTPUT -j KUBE-SERVICES
            -A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT
            -A INPUT -j KUBE-FIREWALL
            COMMIT
            *nat
            :KUBE-PROXY-CANARY - [0:0]
            :KUBE-MARK-DROP - [0:0]
            :KUBE-MARK-MASQ - [0:0]
            :KUBE-XLB-ABCDEFGHIJKLMNOP - [0:0]
            -A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
            -A KUBE-XLB-ABCDEFGHIJKLMNOP -j KUBE-MARK-MASQ
            COMMIT

            """
        try namespace.restore("iptables-\(variant)", text)
        let result = try namespace.cleanup("--family", "ipv4", "--variant", variant)
        #expect(result.status == 0, "\(result.errors)")
        let left = try namespace.require(["iptables-\(variant)-save"]).split(separator: "\n").filter {
            $0.contains("KUBE-")
        }
        #expect(
            left.map { String($0.prefix { $0 != "[" }) }.sorted() == [
                "-A INPUT -j KUBE-FIREWALL", "-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000",
                ":KUBE-FIREWALL - ", ":KUBE-IPTABLES-HINT - ", ":KUBE-KUBELET-CANARY - ", ":KUBE-MARK-DROP - ",
            ])
    }

    @Test("only the family and the variant asked for are cleaned, and objects that are still used stay")
    func parts() throws {
        let namespace = try Namespace()
        try namespace.apply("dual-stack", "nft")
        let one = try namespace.cleanup("--family", "ipv6", "--variant", "nft")
        #expect(one.status == 0, "\(one.errors)")
        #expect(one.errors.contains("note: The accounting object ct_state_invalid_dropped_pkts could not be removed"))
        let left = try namespace.require(["ip6tables-nft-save"]).split(separator: "\n").filter { $0.contains("KUBE-") }
        #expect(left.allSatisfy { $0.contains("KUBE-FIREWALL") })
        #expect(try namespace.require(["iptables-nft-save"]).contains("KUBE-SVC-"))
        #expect(try namespace.cleanup("--variant", "legacy").errors.contains("IPv4") == false)
        #expect(try namespace.require(["iptables-nft-save"]).contains("KUBE-SVC-"))
    }

    @Test(
        "of the two modes that share chains, only what the one asked for has left goes", arguments: ["legacy", "nft"])
    func otherMode(_ variant: String) throws {
        let namespace = try Namespace()
        try namespace.apply("yaobank", variant)
        let served = try namespace.chainsAndRules(variant)
        // Chains of ipvs mode, a jump to one, and a jump to a shared chain as only ipvs mode writes it.
        let leftovers = """
            *filter
            :KUBE-IPVS-FILTER - [0:0]
            :KUBE-SOURCE-RANGES-FIREWALL - [0:0]
            -A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
            -A INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
            COMMIT
            *nat
            :KUBE-NODE-PORT - [0:0]
            -A KUBE-NODE-PORT -j KUBE-MARK-MASQ
            COMMIT

            """
        try namespace.restore("iptables-\(variant)", leftovers)
        let preview = try namespace.cleanup("--mode", "ipvs", "--dry-run")
        #expect(preview.status == 0, "\(preview.errors)")
        #expect(preview.output.hasPrefix("IPv4, \(variant): 3 chains, 1 rule and 2 jumps\n"), "\(preview.output)")
        let result = try namespace.cleanup("--mode", "ipvs")
        #expect(result.status == 0 && result.errors.contains("IPv4, \(variant): removed 3 chains"), "\(result.errors)")
        #expect(try namespace.chainsAndRules(variant) == served)
        #expect(try namespace.cleanup("--mode", "ipvs").errors.contains("there is nothing to remove"))

        // As ipvs mode has the chains that both have.
        let ipvs = """
            *nat
            :KUBE-SERVICES - [0:0]
            :KUBE-NODE-PORT - [0:0]
            -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
            COMMIT
            *filter
            :KUBE-FORWARD - [0:0]
            COMMIT

            """
        try namespace.restore("iptables-\(variant)", ipvs)
        #expect(try namespace.cleanup("--mode", "iptables").status == 0)
        let left = try namespace.require(["iptables-\(variant)-save"]).split(separator: "\n").filter {
            $0.hasPrefix(":KUBE-")
        }
        #expect(
            left.map { String($0.dropFirst().prefix { $0 != " " }) }.sorted() == [
                "KUBE-FIREWALL", "KUBE-FORWARD", "KUBE-MARK-MASQ", "KUBE-NODE-PORT", "KUBE-POSTROUTING",
                "KUBE-PROXY-FIREWALL", "KUBE-SERVICES",
            ])
    }
}
