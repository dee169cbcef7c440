import Foundation
import TestSupport
import Testing

/// What a namespace's tables hold, without the comments that say when it was read.
private func tables(_ namespace: Namespace, _ variant: String) throws -> String {
    try ["iptables", "ip6tables"].map { program in
        try namespace.require(["\(program)-\(variant)-save"]).split(separator: "\n").filter { !$0.hasPrefix("#") }
            .joined(separator: "\n")
    }.joined(separator: "\n")
}

extension Namespace {
    fileprivate func apply(_ golden: GoldenCase, _ arguments: String...) throws -> Command.Result {
        try run(
            [BuiltProducts.switchyard, "apply", "-f", golden.cluster, "--config", golden.configuration] + arguments)
    }
}

@Suite("switchyard apply", .kernel("iptables-legacy-restore", "iptables-nft-restore", "ip6tables-nft-restore", "nft"))
struct ApplyCommandTests {
    @Test(
        "every golden cluster is accepted, and a second apply changes nothing",
        arguments: ["legacy", "nft"])
    func everyCluster(_ variant: String) throws {
        let namespace = try Namespace()
        for golden in GoldenCase.all {
            let first = try namespace.apply(golden, "--variant", variant)
            #expect(first.status == 0, "\(golden.testDescription): \(first.errors)")
            let once = try tables(namespace, variant)
            let second = try namespace.apply(golden, "--variant", variant)
            #expect(second.status == 0, "\(golden.testDescription): \(second.errors)")
            #expect(second.errors.contains("0 jumps put in, 0 stale chains removed"))
            #expect(try tables(namespace, variant) == once, "\(golden.testDescription) is not the same when repeated")
        }
    }

    @Test("a dry run prints what is then committed, and commits nothing")
    func dryRun() throws {
        let namespace = try Namespace()
        let golden = GoldenCase.named("yaobank")
        let before = try tables(namespace, "nft")
        let dry = try namespace.apply(golden, "--variant", "nft", "--family", "ipv4", "--no-nfacct", "--dry-run")
        #expect(dry.status == 0)
        #expect(try tables(namespace, "nft") == before)
        try namespace.require(["iptables-nft-restore", "--noflush"], input: dry.output)
        let byHand = try tables(namespace, "nft")
        let report = try namespace.apply(golden, "--variant", "nft", "--family", "ipv4", "--no-nfacct")
        #expect(report.errors.contains("0 jumps put in, 0 stale chains removed"))
        #expect(try tables(namespace, "nft") == byHand)
    }

    @Test("one family is refused and named with the lines around, the other is committed")
    func oneFamily() throws {
        let namespace = try Namespace()
        // A chain of this name that hangs on a hook cannot be replaced by one that rules jump to.
        try namespace.require(["nft", "add", "table", "ip", "nat"])
        try namespace.require(["iptables-nft", "-t", "nat", "-A", "PREROUTING", "-j", "RETURN"])
        try namespace.require(["nft", "add chain ip nat KUBE-SERVICES { type nat hook prerouting priority 5; }"])
        let result = try namespace.apply(GoldenCase.named("dual-stack"), "--variant", "nft")
        #expect(result.status == 1)
        #expect(result.errors.contains("switchyard: error: Cannot"), "\(result.errors)")
        #expect(result.errors.contains("(IPv4, nft)"))
        #expect(result.errors.contains("IPv6: committed 1 service ports"))
        #expect(!(try namespace.require(["iptables-nft-save", "-t", "filter"])).contains("KUBE-"))
        #expect(try namespace.require(["ip6tables-nft-save"]).contains("KUBE-SVC-"))
    }

    @Test("bad input is refused with status 2 and touches no table")
    func badInput() throws {
        let namespace = try Namespace()
        let before = try tables(namespace, "nft")
        let golden = GoldenCase.named("yaobank")
        let unknownNode = try namespace.apply(golden, "--hostname-override", "nobody")
        #expect(unknownNode.status == 2)
        let missing = try namespace.run([BuiltProducts.switchyard, "apply", "-f", golden.cluster, "/nonexistent"])
        #expect(missing.status == 2)
        #expect(try tables(namespace, "nft") == before)
    }

    @Test("packets are counted where asked for, and not where not")
    func accounting() throws {
        let namespace = try Namespace()
        let golden = GoldenCase.named("yaobank")
        #expect(try namespace.apply(golden, "--variant", "nft", "--no-nfacct").status == 0)
        #expect(!(try tables(namespace, "nft")).contains("nfacct"))
        #expect(try namespace.apply(golden, "--variant", "nft", "--nfacct").status == 0)
        #expect(try tables(namespace, "nft").contains("ct_state_invalid_dropped_pkts"))
        #expect(try namespace.require(["nfacct", "list"]).contains("localhost_nps_accepted_pkts"))
    }

    @Test("node ports on loopback have packets from there routed, and other hosts kept from it")
    func loopback() throws {
        let namespace = try Namespace()
        let setting = "/proc/sys/net/ipv4/conf/all/route_localnet"
        #expect(try namespace.apply(GoldenCase.named("nodeport-no-localhost"), "--variant", "nft").status == 0)
        #expect(try namespace.require(["cat", setting]) == "0\n")
        #expect(try namespace.apply(GoldenCase.named("nodeport"), "--variant", "nft").status == 0)
        #expect(try namespace.require(["cat", setting]) == "1\n")
        let saved = try tables(namespace, "nft")
        #expect(saved.contains("-A INPUT -j KUBE-FIREWALL"))
        #expect(saved.contains("-A OUTPUT -j KUBE-FIREWALL"))
    }
}
