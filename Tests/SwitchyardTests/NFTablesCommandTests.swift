import Foundation
import TestSupport
import Testing

extension Namespace {
    fileprivate func switchyard(_ command: String, _ golden: GoldenCase, _ arguments: String...) throws
        -> Command.Result
    {
        try run(
            [BuiltProducts.switchyard, command, "--mode", "nftables", "-f", golden.cluster]
                + ["--config", golden.configuration] + arguments)
    }

    fileprivate func apply(_ golden: GoldenCase) throws {
        let result = try switchyard("apply", golden)
        #expect(result.status == 0, "\(golden.testDescription): \(result.errors)")
    }

    /// A table's lines in an order of their own, as the kernel lists elements in any; nil where it is not there.
    fileprivate func lines(_ family: String) throws -> [String]? {
        let list = try run(["nft", "--numeric", "list", "table", family, "switchyard"])
        guard list.status == 0 else { return nil }
        return list.output.split(separator: "\n").map { line in
            let text = line.drop { " \t".contains($0) }.replacing("elements = { ", with: "")
            return String(text.reversed().drop { ", }".contains($0) }.reversed())
        }.sorted()
    }

    fileprivate func tables() throws -> [String] {
        try require(["nft", "list", "tables"]).split(separator: "\n").map(String.init)
    }
}

/// Something done to a table, as arguments of nft, and what is to be said about it.
private struct Damage {
    var command: String
    var expected: String
}

@Suite("The commands in nftables mode", .kernel("nft", "iptables-nft-save", "ip6tables-nft-save"))
struct NFTablesCommandTests {
    @Test("every golden cluster is committed over the one before, and nothing differs then")
    func everyCluster() throws {
        let namespace = try Namespace()
        for golden in GoldenCase.all {
            try namespace.apply(golden)
            let diff = try namespace.switchyard("diff", golden)
            #expect(diff.status == 0, "\(golden.testDescription): \(diff.output)\(diff.errors)")
            #expect(try namespace.tables() == ["table ip switchyard", "table ip6 switchyard"])
        }
    }

    @Test("what is committed over netlink is what nft makes of the text")
    func text() throws {
        let namespace = try Namespace()
        for golden in GoldenCase.all {
            for (family, option) in [("ip", "ipv4"), ("ip6", "ipv6")] {
                _ = try namespace.run(["nft", "delete", "table", family, "switchyard"])
                let text = try namespace.switchyard("apply", golden, "--family", option, "--dry-run")
                try #require(text.status == 0, "\(golden.testDescription): \(text.errors)")
                // nft 1.0.6 aborts on a constant in an address field of IPv6.
                if family == "ip6", text.output.contains("ip6 daddr set") { continue }
                try namespace.apply(golden)
                let overNetlink = try namespace.lines(family)
                try namespace.require(["nft", "delete", "table", family, "switchyard"])
                try namespace.require(["nft", "-f", "-"], input: text.output)
                let difference = Set(try namespace.lines(family) ?? []).symmetricDifference(overNetlink ?? [])
                #expect(difference == [], "\(golden.testDescription) \(family)")
                #expect(try namespace.lines(family) == overNetlink, "\(golden.testDescription) \(family)")
                #expect(try namespace.switchyard("diff", golden, "--family", option).status == 0)
            }
        }
    }

    @Test("every kind of damage is found, and mended by apply")
    func damage() throws {
        let namespace = try Namespace()
        let golden = GoldenCase.named("affinity")
        try namespace.apply(golden)
        let element = "{ 172.30.1.1 . tcp . 80 }"
        let all = [
            Damage(command: "delete element ip switchyard service-ips \(element)", expected: "element 172.30.1.1"),
            Damage(
                command: "delete element ip switchyard service-ips \(element); add element ip switchyard service-ips "
                    + "{ 172.30.1.1 . tcp . 80 : goto reject-it }", expected: "element 172.30.1.1"),
            Damage(command: "flush chain ip switchyard services", expected: "chain services"),
            Damage(command: "add rule ip switchyard services accept", expected: "chain services"),
            Damage(command: "add chain ip switchyard stranger", expected: "chain stranger"),
            Damage(command: "add chain ip switchyard filter-input { policy drop; }", expected: "its policy is another"),
            Damage(command: "delete chain ip switchyard filter-input", expected: "chain filter-input"),
            Damage(command: "add set ip switchyard stranger { type ipv4_addr; }", expected: "stranger"),
            Damage(command: "flush map ip switchyard service-ips", expected: "element 172.30.1.1"),
            Damage(command: "flush set ip switchyard cluster-ips", expected: "cluster-ips"),
            Damage(command: "delete table ip switchyard", expected: "table switchyard"),
        ]
        for damage in all {
            try namespace.require(["nft", damage.command])
            let found = try namespace.switchyard("diff", golden)
            #expect(found.status == 1, "\(damage.command): \(found.errors)")
            #expect(found.output.contains(damage.expected), "\(damage.command): \(found.output)")
            try namespace.apply(golden)
            let mended = try namespace.switchyard("diff", golden)
            #expect(mended.status == 0, "\(damage.command): \(mended.output)")
        }
    }

    @Test("foreign tables stay, and kube-proxy's go with an apply as with a cleanup")
    func foreignTables() throws {
        let namespace = try Namespace()
        let foreign = """
            table inet foreign {
                chain input {
                    type filter hook input priority 0; policy accept;
                    tcp dport 22 accept
                }
            }
            table ip switchyard2 {
                set s {
                    type ipv4_addr
                    elements = { 10.0.0.1 }
                }
            }
            """
        try namespace.require(["nft", "-f", "-"], input: foreign)
        let before = try namespace.require(["nft", "list", "ruleset"])
        let kubeProxy = "add table ip kube-proxy; add chain ip kube-proxy a; add table ip6 kube-proxy"
        try namespace.require(["nft", kubeProxy])
        try namespace.apply(GoldenCase.named("dual-stack"))
        #expect(
            try namespace.tables().sorted() == [
                "table inet foreign", "table ip switchyard", "table ip switchyard2", "table ip6 switchyard",
            ])
        try namespace.require(["nft", kubeProxy])
        try namespace.require([BuiltProducts.switchyard, "cleanup"])
        #expect(try namespace.require(["nft", "list", "ruleset"]) == before)
    }

    @Test("what services have counted stays when another apply replaces the table, and goes without the option")
    func counters() throws {
        let namespace = try Namespace()
        let golden = GoldenCase.named("dual-stack")
        func counts() throws -> [String] {
            try namespace.require(["nft", "list", "counters"]).split(separator: "\n").map(String.init)
                .filter { $0.contains("packets") }
        }
        func apply() throws {
            let result = try namespace.switchyard("apply", golden, "--service-counters")
            #expect(result.status == 0, "\(result.errors)")
        }
        try apply()
        let text = try namespace.require(["nft", "list", "ruleset"])
        let zeros = try counts()
        #expect(zeros.count == 2 && zeros.allSatisfy { $0.contains("packets 0 bytes 0") })
        // As if packets had come, the text of the kernel loads with other numbers in it.
        try namespace.require(
            ["nft", "-f", "-"],
            input: "flush ruleset\n" + text.replacing("packets 0 bytes 0", with: "packets 7 bytes 420"))
        #expect(try namespace.switchyard("diff", golden, "--service-counters").status == 0)
        try apply()
        #expect(try counts() == zeros.map { $0.replacing("packets 0 bytes 0", with: "packets 7 bytes 420") })
        #expect(try namespace.switchyard("diff", golden, "--service-counters").status == 0)

        let without = try namespace.switchyard("diff", golden)
        #expect(without.status == 1 && without.output.contains("service-counters"), "\(without.output)")
        try namespace.apply(golden)
        #expect(try counts() == [])
        #expect(try namespace.switchyard("diff", golden).status == 0)
    }

    @Test("text with counters is what is committed with them")
    func renderedCounters() throws {
        let namespace = try Namespace()
        let golden = GoldenCase.named("dual-stack")
        // The addresses of its Node, as a live node has them too.
        try namespace.require([
            "sh", "-ec", "ip link set lo up; ip addr add 192.168.0.2 dev lo; ip addr add 2001:db8::2 dev lo",
        ])
        for family in ["ip", "ip6"] {
            let text = try namespace.switchyard(
                "render", golden, "--service-counters", "--family", family == "ip" ? "ipv4" : "ipv6")
            #expect(text.output.contains("add counter \(family) switchyard service-"))
            try namespace.require(["nft", "-f", "-"], input: text.output)
        }
        let diff = try namespace.switchyard("diff", golden, "--service-counters")
        #expect(diff.status == 0, "\(diff.output)\(diff.errors)")
    }

    /// Every second one, as each takes a process of nft and two of ours.
    @Test("the layout kube-proxy of golden clusters is committed over the one before, and nothing differs then")
    func kubeProxyLayout() throws {
        let namespace = try Namespace()
        for golden in GoldenCase.all.enumerated().lazy.filter({ $0.offset % 2 == 0 }).map(\.element) {
            let apply = try namespace.switchyard("apply", golden, "--layout", "kube-proxy")
            #expect(apply.status == 0, "\(golden.testDescription): \(apply.errors)")
            let diff = try namespace.switchyard("diff", golden, "--layout", "kube-proxy")
            #expect(diff.status == 0, "\(golden.testDescription): \(diff.output)\(diff.errors)")
            #expect(try namespace.tables() == ["table ip kube-proxy", "table ip6 kube-proxy"])
        }
    }

    @Test("each layout takes the place of the other, and damage to kube-proxy's is found")
    func otherLayout() throws {
        let namespace = try Namespace()
        let golden = GoldenCase.named("affinity")
        try namespace.apply(golden)
        #expect(try namespace.switchyard("diff", golden, "--layout", "kube-proxy").status == 1)
        #expect(try namespace.switchyard("apply", golden, "--layout", "kube-proxy").status == 0)
        #expect(try namespace.tables() == ["table ip kube-proxy", "table ip6 kube-proxy"])
        let walk = try namespace.switchyard(
            "explain", golden, "--live", "--layout", "kube-proxy", "--from", "10.0.0.1", "--to", "172.30.1.1:80")
        #expect(walk.status == 0 && walk.output.contains("table kube-proxy"), "\(walk.output)\(walk.errors)")
        try namespace.require(["nft", "flush chain ip kube-proxy services"])
        let damaged = try namespace.switchyard("diff", golden, "--layout", "kube-proxy")
        #expect(damaged.status == 1 && damaged.output.contains("chain services"), "\(damaged.output)")
        try namespace.apply(golden)
        #expect(try namespace.tables() == ["table ip switchyard", "table ip6 switchyard"])
        #expect(try namespace.switchyard("diff", golden).status == 0)
    }

    @Test("where nft is missing or refuses the layout kube-proxy, one sentence says so and nothing changes")
    func noProgram() throws {
        let namespace = try Namespace()
        let golden = GoldenCase.named("affinity")
        try namespace.apply(golden)
        let before = try namespace.require(["nft", "list", "ruleset"])
        let folder = FileManager.default.temporaryDirectory.appending(path: "programs-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let program = folder.appending(path: "nft")
        try Data(
            "#!/bin/sh\necho '/dev/stdin:7:1-9: Error: no such thing' >&2\necho 'add rule' >&2\nexit 1\n".utf8
        ).write(to: program)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program.path)
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let refused = try namespace.run(
            [BuiltProducts.switchyard, "apply", "--mode", "nftables", "--layout", "kube-proxy", "--family", "ipv4"]
                + ["-f", golden.cluster, "--config", golden.configuration],
            environment: ["PATH": "\(folder.path):\(path)"])
        #expect(refused.status == 1)
        #expect(
            refused.errors == """
                switchyard: error: IPv4: The program nft refused the rules and said: /dev/stdin:7:1-9: Error: no such \
                thing; nothing was changed.

                """)
        #expect(try namespace.require(["nft", "list", "ruleset"]) == before)
    }

    @Test("options that a mode or a layout has no use for are refused")
    func uselessOptions() throws {
        let golden = GoldenCase.named("affinity")
        let input = ["-f", golden.cluster, "--config", golden.configuration]
        for command in [
            ["render", "--mode", "iptables", "--service-counters"],
            ["diff", "--mode", "iptables", "--layout", "kube-proxy"],
            ["render", "--mode", "nftables", "--layout", "kube-proxy", "--service-counters"],
        ] {
            let result = try Command.run([BuiltProducts.switchyard] + command + input)
            #expect(result.status == 2 && result.errors.contains("switchyard: error: --"), "\(command)")
        }
        let run = try Command.run([BuiltProducts.switchyard, "run", "--mode", "nftables", "--layout", "kube-proxy"])
        #expect(run.status == 2 && run.errors.contains("--layout kube-proxy is not kept by the daemon"))
    }

    @Test("an apply takes the iptables rules of another mode away")
    func otherMode() throws {
        let namespace = try Namespace()
        let golden = GoldenCase.named("dual-stack")
        func rules() throws -> String {
            try ["iptables-nft-save", "ip6tables-nft-save"].map { try namespace.require([$0]) }.joined()
        }
        try namespace.require(
            [BuiltProducts.switchyard, "apply", "--mode", "iptables", "--variant", "nft", "-f", golden.cluster]
                + ["--config", golden.configuration])
        #expect(try rules().contains("KUBE-SERVICES"))
        try namespace.apply(golden)
        #expect(!(try rules().contains("KUBE-SERVICES")))
        #expect(try namespace.switchyard("diff", golden).status == 0)
    }
}
