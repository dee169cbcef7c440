import Foundation
import TestSupport
import Testing

private let yaobank = GoldenCase.named("yaobank")

private func savePath(_ name: String) -> String {
    GoldenCase.root.appending(path: "saves/kube-proxy-yaobank.\(name).save").path
}

private let savedCluster = [
    "-f", GoldenCase.root.appending(path: "saves/cluster.json").path, "--config", yaobank.configuration,
]

private func diff(_ arguments: [String], input: String = "") throws -> Command.Result {
    try Command.run([BuiltProducts.switchyard, "diff"] + arguments, input: input)
}

@Suite("switchyard diff --saved")
struct DiffSavedTests {
    @Test(
        "names the one service that a save of kube-proxy has and the cluster lacks",
        arguments: ["iptables-legacy", "iptables-legacy.counters", "iptables-nft", "iptables-nft.counters"])
    func kubernetesAlone(_ name: String) throws {
        let result = try diff(["--saved", savePath(name)] + savedCluster)
        #expect(result.status == 1)
        #expect(
            result.output.hasPrefix(
                "IPv4: 1 difference\n\ndefault/kubernetes:https\n  foreign in filter KUBE-SERVICES\n"))
        #expect(!result.output.contains("yaobank"))
    }

    @Test("finds nothing in the save of IPv6")
    func ipv6() throws {
        let result = try diff(["--saved", savePath("ip6tables-nft"), "--family", "ipv6"] + savedCluster)
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.isEmpty)
    }

    @Test("finds the saves of both variants equal, with counters and without")
    func variants() throws {
        let names = ["iptables-legacy", "iptables-legacy.counters", "iptables-nft", "iptables-nft.counters"]
        for one in names {
            for other in names {
                let result = try diff(["--saved", savePath(one), "--saved", savePath(other)])
                #expect(result.status == 0, "\(one) \(other): \(result.output)")
            }
        }
    }

    @Test("prints JSON with every field that the text has")
    func json() throws {
        struct Document: Decodable {
            struct Family: Decodable {
                struct Finding: Decodable {
                    var kind, service, table, chain: String
                    var wanted, found: [String]
                }
                var family: String
                var compared: Bool
                var wantedRules: Int
                var findings: [Finding]
            }
            var equal: Bool
            var families: [Family]
        }
        let result = try diff(["--json", "--saved", savePath("iptables-nft")] + savedCluster)
        #expect(result.status == 1)
        let document = try JSONDecoder().decode(Document.self, from: Data(result.output.utf8))
        #expect(!document.equal)
        let family = try #require(document.families.first)
        #expect(family.family == "IPv4" && family.compared && family.wantedRules == 44)
        let finding = try #require(family.findings.first)
        #expect(family.findings.count == 1)
        #expect(finding.kind == "foreign" && finding.service == "default/kubernetes:https")
        #expect(finding.table == "filter" && finding.chain == "KUBE-SERVICES")
        #expect(finding.wanted == [] && finding.found.count == 1)
        let equal = try diff(["--json", "--saved", savePath("iptables-nft"), "--saved", savePath("iptables-legacy")])
        #expect(equal.status == 0)
        #expect(try JSONDecoder().decode(Document.self, from: Data(equal.output.utf8)).equal)
    }

    @Test("ends with 2 and a sentence where it could not tell")
    func couldNotTell() throws {
        let missing = try diff(["--saved", "/nonexistent"] + savedCluster)
        #expect(missing.status == 2)
        #expect(missing.errors.contains("/nonexistent: error: cannot be opened: No such file or directory"))
        let cut = try diff(["--saved", "-"] + savedCluster, input: "*nat\n:KUBE-SERVICES - [0:0]\n")
        #expect(cut.status == 2)
        #expect(cut.errors.contains("standard input:2: error: the text ends within table nat, before its COMMIT"))
        let empty = try diff(["--saved", "-"] + savedCluster, input: "")
        #expect(empty.status == 2)
        #expect(empty.errors.hasSuffix("switchyard: standard input: error: there is no table in it\n"))
        #expect(try diff(["--saved", savePath("iptables-nft")]).status == 2)
        #expect(try diff(["--saved", "a", "--saved", "b", "--saved", "c"]).status == 2)
        #expect(try diff(["--saved", savePath("iptables-nft"), "--variant", "nft"] + savedCluster).status == 2)
        #expect(try diff(["--saved", savePath("iptables-nft"), "--mode", "nftables"] + savedCluster).status == 2)
    }

    @Test("refuses a save that says it is of the other family")
    func otherFamily() throws {
        for (name, family, sentence) in [
            ("ip6tables-nft", "ipv4", "this is a save of ip6tables-save, but it is read as IPv4; say --family ipv6"),
            ("iptables-nft", "ipv6", "this is a save of iptables-save, but it is read as IPv6; say --family ipv4"),
        ] {
            let result = try diff(["--saved", savePath(name), "--family", family] + savedCluster)
            #expect(result.status == 2 && result.output == "")
            #expect(result.errors == "switchyard: \(savePath(name)): error: \(sentence)\n")
        }
    }

    @Test("takes nothing that a terminal would obey from a save to the screen")
    func controlCharacters() throws {
        let save =
            "*filter\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -m comment --comment \"\u{1b}[2J\" -j DROP\nCOMMIT\n"
        let result = try diff(["--saved", savePath("iptables-nft"), "--saved", "-"], input: save)
        #expect(result.status == 1)
        #expect(!result.output.contains("\u{1b}"))
    }
}

/// Something done to a node's rules, and what is to be said about it.
private struct Damage: CustomTestStringConvertible {
    var name: String
    /// `$CHAIN` stands for the chain of yaobank/summary:http; commands are iptables' arguments.
    var commands: [[String]]
    var expected: [String]
    /// What `diff` still says after an apply: a jump that somebody changed is theirs, and ours is put beside it
    /// (docs/decisions/0003-where-our-jumps-stand.md).
    var left: String?

    var testDescription: String { name }

    init(_ name: String, _ commands: [String], _ expected: [String], left: String? = nil) {
        self.name = name
        self.left = left
        self.commands = commands.map { $0.split(separator: " ").map(String.init) }
        self.expected = expected
    }

    static let service = "KUBE-SVC-OIQIZJVJK6E34BR4"
    static let endpoint = "KUBE-SEP-MR2OHPODPKVEKHD4"

    static let all = [
        Damage(
            "a rule deleted", ["-t nat -D \(service) 3"],
            ["yaobank/summary:http\n  missing in nat \(service)\n    - ", "-> 198.19.22.131:80\" -j \(endpoint)\n"]),
        Damage(
            "a rule changed", ["-t nat -R \(endpoint) 2 -p tcp -j DNAT --to-destination 198.19.22.131:81"],
            ["yaobank/summary:http\n  changed in nat \(endpoint)\n    - ", "\n    + ", ":81\n"]),
        Damage(
            "a mark changed", ["-t nat -R KUBE-MARK-MASQ 1 -j MARK --xor-mark 0x4000"],
            ["KUBE-MARK-MASQ\n  changed in nat KUBE-MARK-MASQ"]),
        Damage(
            "a rule moved where it matters",
            ["-t nat -D KUBE-POSTROUTING 1", "-t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN"],
            ["KUBE-POSTROUTING\n  moved in nat KUBE-POSTROUTING", "-j RETURN"]),
        Damage(
            "a rule added", ["-t nat -A \(endpoint) -s 10.0.0.1 -j RETURN"],
            ["yaobank/summary:http\n  foreign in nat \(endpoint)\n    + -A \(endpoint) -s 10.0.0.1/32 -j RETURN"]),
        Damage(
            "a rule doubled", ["-t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000"],
            ["KUBE-MARK-MASQ\n  foreign in nat KUBE-MARK-MASQ: a second time"]),
        Damage(
            "a chain added", ["-t nat -N KUBE-SVC-AAAAAAAAAAAAAAAA", "-t nat -A KUBE-SVC-AAAAAAAAAAAAAAAA -j RETURN"],
            ["foreign in nat KUBE-SVC-AAAAAAAAAAAAAAAA: the chain is not wanted"]),
        Damage(
            "a chain of a service emptied", ["-t nat -F \(service)"],
            ["yaobank/summary:http\n  missing in nat \(service): the chain is empty; it has 3 rules"]),
        Damage(
            "a shared chain emptied", ["-t nat -F KUBE-SERVICES"],
            ["KUBE-SERVICES\n  missing in nat KUBE-SERVICES: the chain is empty"]),
        Damage(
            "a jump removed", ["-t nat -D PREROUTING -m comment --comment kubernetes_service_portals -j KUBE-SERVICES"],
            ["PREROUTING\n  missing in nat PREROUTING"]),
        Damage(
            "a jump doubled", ["-A FORWARD -m comment --comment kubernetes_forwarding_rules -j KUBE-FORWARD"],
            ["FORWARD\n  foreign in filter FORWARD: a second time"]),
        Damage(
            "a jump doubled behind a foreign rule",
            ["-A FORWARD -j DROP", "-A FORWARD -m comment --comment kubernetes_forwarding_rules -j KUBE-FORWARD"],
            ["FORWARD\n  foreign in filter FORWARD: a second time"]),
        Damage(
            "a jump changed",
            [
                "-t nat -D OUTPUT -m comment --comment kubernetes_service_portals -j KUBE-SERVICES",
                "-t nat -A OUTPUT -p tcp -j KUBE-SERVICES",
            ], ["OUTPUT\n  changed in nat OUTPUT"],
            left: "OUTPUT\n  foreign in nat OUTPUT\n    + -A OUTPUT -p tcp -j KUBE-SERVICES\n"),
        Damage(
            "jumps behind a foreign DROP", ["-I FORWARD 1 -m conntrack --ctstate NEW -j DROP"],
            [
                "FORWARD\n  moved in filter FORWARD: behind a rule of another program",
                "    + -A FORWARD -m conntrack --ctstate NEW -j DROP",
            ]),
        Damage(
            "jumps behind a chain that drops everything", ["-N OTHERS", "-A OTHERS -j DROP", "-I FORWARD 1 -j OTHERS"],
            ["FORWARD\n  moved in filter FORWARD: behind a rule of another program", "    + -A FORWARD -j OTHERS"]),
        Damage("nat flushed", ["-t nat -F"], ["table nat\n  missing in nat: nothing of "]),
        Damage("everything flushed", ["-t nat -F", "-F"], ["all tables\n  missing: nothing of 44 rules"]),
    ]

    /// What a packet cannot tell, or is others' own.
    static let harmless = [
        Damage(
            "rules of different services swapped",
            [
                "-t nat -D KUBE-SERVICES 1",
                "-t nat -I KUBE-SERVICES 2 -d 198.19.45.149/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-PX5FENG4GZJTCELT",
            ],
            []),
        Damage("a jump to a guard moved", ["-D INPUT -j KUBE-FIREWALL", "-A INPUT -j KUBE-FIREWALL"], []),
        Damage("foreign rules behind the jumps", ["-A FORWARD -j DROP", "-t nat -A PREROUTING -j ACCEPT"], []),
        Damage("a foreign rule before the jumps that ends no packet's way", ["-I FORWARD 1 -m mark --mark 1"], []),
        Damage(
            "a foreign rule before the jumps for packets that are none of theirs",
            ["-I FORWARD 1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"], []),
        Damage(
            "foreign chains",
            ["-N OTHERS", "-A OTHERS -s 10.0.0.1 -j DROP", "-I FORWARD 1 -j OTHERS", "-t nat -N KUBE-MARK-DROP"], []),
        Damage("a foreign rule about some packets", ["-I FORWARD 1 -s 10.0.0.0/8 -j DROP"], []),
        Damage("a comment changed", ["-t nat -R KUBE-MARK-MASQ 1 -m comment --comment x -j MARK --or-mark 0x4000"], []),
    ]
}

extension Namespace {
    fileprivate func diff(_ golden: GoldenCase, _ variant: String, _ arguments: String...) throws -> Command.Result {
        try run(
            [BuiltProducts.switchyard, "diff", "-f", golden.cluster, "--config", golden.configuration]
                + ["--variant", variant] + arguments)
    }

    fileprivate func apply(_ golden: GoldenCase, _ variant: String) throws {
        try require(
            [BuiltProducts.switchyard, "apply", "-f", golden.cluster, "--config", golden.configuration]
                + ["--variant", variant])
    }

    /// - Parameter translate: makes IPv6 words of IPv4 words; without it the damage is done to IPv4.
    fileprivate func inflict(
        _ damage: Damage, _ variant: String, translate: (([String]) throws -> [String])? = nil
    ) throws {
        for command in damage.commands {
            let words = command.map { $0.replacingOccurrences(of: "_", with: " ") }
            try require(
                [translate == nil ? "iptables-\(variant)" : "ip6tables-\(variant)"] + (translate?(words) ?? words))
        }
    }
}

/// A cluster of IPv4 with the same names in IPv6: `198.19.22.131` becomes `fd00:198:19:22::131`.
private final class TranslatedCluster {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "switchyard-\(UUID().uuidString)")

    var options: [String] {
        ["-f", folder.appending(path: "cluster.yaml").path, "--config", folder.appending(path: "config.yaml").path]
    }

    init(_ golden: GoldenCase) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for (source, name) in [(golden.cluster, "cluster.yaml"), (golden.configuration, "config.yaml")] {
            let text = try String(contentsOfFile: source, encoding: .utf8)
            try Data(Self.translate(text).utf8).write(to: folder.appending(path: name))
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private static func translate(_ text: String) -> String {
        text.replacing(/198\.19\.(\d+)\.(\d+):(\d+)/) { "[fd00:198:19:\($0.1)::\($0.2)]:\($0.3)" }
            .replacing(/198\.19\.(\d+)\.(\d+)/) { "fd00:198:19:\($0.1)::\($0.2)" }
            .replacing("10.0.0.0/8", with: "fd00::/8").replacing("10.0.0.1", with: "fd00::1")
            .replacing("IPv4", with: "IPv6")
    }

    /// The words of a command, with the endpoint's chain as it is called in IPv6.
    func translate(_ words: [String], in namespace: Namespace, _ variant: String) throws -> [String] {
        let saved = try namespace.require(["ip6tables-\(variant)-save", "-t", "nat"])
        let rule = saved.split(separator: "\n").first { $0.hasSuffix("--to-destination [fd00:198:19:22::131]:80") }
        let chain = rule.map { String($0.split(separator: " ")[1]) } ?? Damage.endpoint
        return words.map { Self.translate($0).replacing(Damage.endpoint, with: chain) }
    }
}

@Suite(
    "switchyard diff, live",
    .kernel(
        "iptables-legacy-restore", "iptables-nft-restore", "ip6tables-legacy-restore", "ip6tables-nft-restore", "nft"))
struct DiffLiveTests {
    @Test("every golden cluster is equal in both families after an apply", arguments: ["legacy", "nft"])
    func everyCluster(_ variant: String) throws {
        let namespace = try Namespace()
        for golden in GoldenCase.all {
            try namespace.apply(golden, variant)
            let result = try namespace.diff(golden, variant)
            #expect(result.status == 0, "\(golden.testDescription): \(result.output)\(result.errors)")
            #expect(result.output.isEmpty)
        }
    }

    @Test("is equal after an apply where the kubelet came first")
    func kubeletFirst() throws {
        let namespace = try Namespace()
        try namespace.require(["iptables-nft", "-N", "KUBE-FIREWALL"])
        for chain in ["INPUT", "OUTPUT"] {
            try namespace.require(["iptables-nft", "-I", chain, "-j", "KUBE-FIREWALL"])
        }
        for name in ["loadbalancer-local", "nodeport-no-endpoints"] {
            try namespace.apply(GoldenCase.named(name), "nft")
            let result = try namespace.diff(GoldenCase.named(name), "nft")
            #expect(result.status == 0, "\(name): \(result.output)\(result.errors)")
        }
    }

    @Test("names each damage in one finding, and apply mends it", arguments: ["legacy", "nft"])
    func damage(_ variant: String) throws {
        for damage in Damage.all {
            let namespace = try Namespace()
            try namespace.apply(yaobank, variant)
            try namespace.inflict(damage, variant)
            let result = try namespace.diff(yaobank, variant, "--family", "ipv4")
            #expect(result.status == 1, "\(damage.name): \(result.output)\(result.errors)")
            #expect(result.output.hasPrefix("IPv4: 1 difference\n"), "\(damage.name): \(result.output)")
            for text in damage.expected {
                #expect(result.output.contains(text), "\(damage.name): \(result.output)")
            }
            try namespace.apply(yaobank, variant)
            let mended = try namespace.diff(yaobank, variant, "--family", "ipv4")
            #expect(
                damage.left.map(mended.output.contains) ?? mended.output.isEmpty,
                "\(damage.name), after apply: \(mended.output)")
        }
    }

    @Test("names each damage of IPv6 in one finding, and apply mends it", arguments: ["legacy", "nft"])
    func damageOfIPv6(_ variant: String) throws {
        let cluster = try TranslatedCluster(yaobank)
        for damage in Damage.all {
            let namespace = try Namespace()
            let command = { (name: String) in
                try namespace.run(
                    [BuiltProducts.switchyard, name, "--variant", variant, "--family", "ipv6"] + cluster.options)
            }
            #expect(try command("apply").status == 0)
            try namespace.inflict(damage, variant) { try cluster.translate($0, in: namespace, variant) }
            let result = try command("diff")
            #expect(result.status == 1, "\(damage.name): \(result.output)\(result.errors)")
            #expect(result.output.hasPrefix("IPv6: 1 difference\n"), "\(damage.name): \(result.output)")
            #expect(try command("apply").status == 0)
            let mended = try command("diff")
            #expect(
                damage.left.map(mended.output.contains) ?? mended.output.isEmpty,
                "\(damage.name), after apply: \(mended.output)")
        }
    }

    @Test("says nothing of what no packet could tell and of what is others'", arguments: ["legacy", "nft"])
    func harmless(_ variant: String) throws {
        for damage in Damage.harmless {
            let namespace = try Namespace()
            try namespace.apply(yaobank, variant)
            try namespace.inflict(damage, variant)
            let result = try namespace.diff(yaobank, variant, "--family", "ipv4")
            #expect(result.status == 0, "\(damage.name): \(result.output)\(result.errors)")
        }
    }

    @Test("could not tell where a table has rules that iptables-save cannot print")
    func incompatible() throws {
        let namespace = try Namespace()
        try namespace.apply(yaobank, "nft")
        try namespace.require(["nft", "add rule ip nat KUBE-SERVICES meta mark set numgen random mod 5"])
        let result = try namespace.diff(yaobank, "nft")
        #expect(result.status == 2, "\(result.output)\(result.errors)")
        #expect(result.errors.contains("table nat holds rules made with nft"))
        #expect(result.errors.contains("IPv6: no difference"))
    }

    @Test("reports what differs in a family by itself")
    func families() throws {
        let namespace = try Namespace()
        try namespace.apply(GoldenCase.named("dual-stack"), "nft")
        try namespace.require(["ip6tables-nft", "-t", "nat", "-F", "KUBE-MARK-MASQ"])
        let result = try namespace.diff(GoldenCase.named("dual-stack"), "nft")
        #expect(result.status == 1)
        #expect(result.output.hasPrefix("IPv6: 1 difference\n"))
        #expect(result.errors.contains("IPv4: no difference"))
    }
}
