import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

/// Something that a program or a person does to our rules, as lines for iptables-restore that leave foreign rules alone.
struct Damage: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// From what is there.
    let lines: @Sendable (IPTablesState) -> String

    init(_ description: String, _ lines: @escaping @Sendable (IPTablesState) -> String) {
        testDescription = description
        self.lines = lines
    }

    init(_ description: String, _ lines: String) {
        self.init(description) { _ in lines }
    }

    private static let portals = #"-m comment --comment "kubernetes service portals" -j KUBE-SERVICES"#

    /// After these the order of the built-in chains' rules is again what it was.
    static let inPlace = [
        Damage("a rule deleted", "*filter\n-D KUBE-FORWARD 1\nCOMMIT\n"),
        Damage("a rule changed", "*nat\n-R KUBE-POSTROUTING 1 -j RETURN\nCOMMIT\n"),
        Damage("a rule moved", "*nat\n-D KUBE-MARK-MASQ 1\n-I KUBE-NODEPORTS -j KUBE-MARK-MASQ\nCOMMIT\n"),
        Damage("a rule added", "*nat\n-I KUBE-SERVICES -p tcp -j RETURN\nCOMMIT\n"),
        Damage("a chain added", "*nat\n:KUBE-SVC-BYHAND - [0:0]\n-I KUBE-SERVICES -j KUBE-SVC-BYHAND\nCOMMIT\n"),
        Damage("a chain emptied", "*filter\n-F KUBE-PROXY-FIREWALL\n-F KUBE-FORWARD\nCOMMIT\n"),
        Damage("every chain emptied") { state in
            state.tables.map { table in
                let chains = table.chains.map(\.name).filter { $0.hasPrefix("KUBE-") && !$0.contains("KUBELET") }
                    .filter { $0 != "KUBE-MARK-DROP" }
                return "*\(table.name)\n" + chains.map { "-F \($0)\n" }.joined() + "COMMIT\n"
            }.joined()
        },
        Damage(
            "a jump doubled", "*nat\n-A PREROUTING \(portals)\nCOMMIT\n*filter\n-A INPUT -j KUBE-FIREWALL\nCOMMIT\n"),
        Damage("a jump there three times", "*nat\n-A OUTPUT \(portals)\n-A OUTPUT \(portals)\nCOMMIT\n"),
        Damage("a jump behind a rule that takes every connection") { _ in
            "*nat\n-D PREROUTING \(portals)\n-A PREROUTING -p tcp -j RETURN\n-A PREROUTING \(portals)\n"
                + "COMMIT\n"
        },
    ]

    /// After these the jump that was gone is first in its chain.
    static let reordering = [
        Damage("a jump removed", "*filter\n-D INPUT 4\n-D FORWARD 2\nCOMMIT\n"),
        Damage("a chain missing") { _ in
            """
            *filter
            -F KUBE-EXTERNAL-SERVICES
            -D INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" \
            -j KUBE-EXTERNAL-SERVICES
            -D FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" \
            -j KUBE-EXTERNAL-SERVICES
            -X KUBE-EXTERNAL-SERVICES
            COMMIT

            """
        },
    ]
}

extension KernelNode {
    /// All tables, with counters.
    func saveAll() throws -> String {
        try namespace.require([program + "-save", "-c"], environment: environment)
    }

    /// All that is foreign, with counters.
    func foreign() throws -> [String] { ForeignRules.lines(of: try saveAll()) }

    /// All tables without counters.
    func rules() throws -> [String] {
        try namespace.require([program + "-save"], environment: environment).split(separator: "\n").map(String.init)
            .filter { !$0.hasPrefix("#") }
            .map { $0.hasPrefix(":") ? String($0.prefix { $0 != "[" }) : $0 }
    }

    /// Gives the policies counters, as if packets had come to them.
    func countAtPolicies() throws {
        try restore(
            """
            *filter
            :INPUT ACCEPT [11:1100]
            :FORWARD DROP [33:3300]
            :OUTPUT ACCEPT [22:2200]
            COMMIT
            *nat
            :PREROUTING ACCEPT [44:4400]
            :INPUT ACCEPT [55:5500]
            :OUTPUT ACCEPT [66:6600]
            :POSTROUTING ACCEPT [77:7700]
            COMMIT

            """)
    }

    /// The foreign rules of a whole node, with counters. Where the restore program ignores the counters of rules that
    /// it is given (ip6tables-nft-restore), a few real packets make some.
    func addForeignRules() throws {
        try restore(try ForeignRules.text(kernelCase.family))
        let send = "ip link set lo up; for n in 1 2 3; do echo >/dev/udp/\(kernelCase.loopback)/9; done"
        try namespace.require(["bash", "-c", send])
    }
}

extension KernelTests {
    @Suite("Mending", .kernel("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft", "bash"))
    struct MendingTests {
        @Test("after any damage the state is that of a first commit", arguments: KernelCase.all)
        func asAtFirst(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            let batch = try GoldenCase.named("loadbalancer-source-ranges").batch(kernelCase.family)
            _ = try await node.applier.apply(batch)
            let first = try node.rules()
            for damage in Damage.inPlace + Damage.reordering {
                // A foreign rule that is part of the damage goes again.
                try node.restore(damage.lines(try await node.applier.read([.filter, .nat])))
                #expect(try node.rules() != first, "\(damage.testDescription)")
                _ = try await node.applier.apply(batch)
                let after = try node.rules().filter { $0 != "-A PREROUTING -p tcp -j RETURN" }
                #expect(after.sorted() == first.sorted(), "\(damage.testDescription)")
                try? node.restore("*nat\n-D PREROUTING -p tcp -j RETURN\nCOMMIT\n")
            }
        }

        @Test("a table flushed, or all, is as at first, and policies stay", arguments: KernelCase.all)
        func flushed(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            let batch = try GoldenCase.named("loadbalancer-source-ranges").batch(kernelCase.family)
            try node.restore("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n")
            _ = try await node.applier.apply(batch)
            let first = try node.rules()
            #expect(first.contains(":FORWARD DROP "))
            for tables in [["nat"], ["filter", "nat"]] {
                for (table, command) in tables.flatMap({ [($0, "-F"), ($0, "-X")] }) {
                    try node.namespace.require([node.program, "-t", table, command], environment: node.environment)
                }
                _ = try await node.applier.apply(batch)
                #expect(try node.rules() == first)
            }
        }

        @Test(
            "foreign rules before, between and after ours stay, with order, policies and counters",
            arguments: KernelCase.all)
        func foreignRulesStay(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            try node.addForeignRules()
            var foreign = try node.foreign()
            #expect(foreign.contains { $0.hasPrefix(":FORWARD DROP [") })
            #expect(foreign.count { $0.hasPrefix("[") && !$0.hasPrefix("[0:0]") } > 5)
            let batch = try GoldenCase.named("loadbalancer-source-ranges").batch(kernelCase.family)
            _ = try await node.applier.apply(batch)
            #expect(try node.foreign() == foreign, "after the first commit")
            try node.restore(
                """
                *filter
                :MINE - [0:0]
                [7:70] -I INPUT 1 -p tcp -m tcp --dport 22 -j ACCEPT
                [6:60] -I INPUT 3 -j MINE
                [5:50] -I FORWARD 2 -m mark --mark 0x8/0x8 -j DROP
                [4:40] -I OUTPUT 1 -j MINE
                [3:30] -A MINE -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
                COMMIT
                *nat
                [2:20] -I PREROUTING 1 -i eth7 -j RETURN
                COMMIT

                """)
            foreign = try node.foreign()
            _ = try await node.applier.apply(batch)
            #expect(try node.foreign() == foreign, "before and between ours")
            let first = try node.rules()
            for damage in Damage.inPlace.dropLast() {
                try node.restore(damage.lines(try await node.applier.read([.filter, .nat])))
                // The restore program of the legacy variant has just set the counters of policies to zero.
                try node.countAtPolicies()
                foreign = try node.foreign()
                #expect(foreign.contains(":FORWARD DROP [33:3300]"), "\(damage.testDescription)")
                _ = try await node.applier.apply(batch)
                #expect(try node.foreign() == foreign, "\(damage.testDescription), mended")
                #expect(try node.rules() == first, "\(damage.testDescription), mended")
            }
            try node.countAtPolicies()
            foreign = try node.foreign()
            let cleanup = try await node.applier.cleanUp()
            #expect(cleanup.foreignRules == [])
            #expect(try node.foreign() == foreign, "cleaned")
            #expect(try !node.rules().contains { $0.contains("KUBE-SERVICES") })
        }

        @Test("a jump behind a rule that takes every connection is first again", arguments: KernelCase.all)
        func hiddenJump(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            _ = try await node.applier.apply(.small(kernelCase.family))
            let first = try node.rules("filter", "FORWARD")
            try node.restore("*filter\n-I FORWARD 2 -m conntrack --ctstate NEW,RELATED -j ACCEPT\nCOMMIT\n")
            let report = try await node.applier.apply(.small(kernelCase.family))
            #expect(
                report.movedJumps.map(\.target) == ["KUBE-EXTERNAL-SERVICES", "KUBE-SERVICES", "KUBE-FORWARD"])
            #expect(report.insertedJumps == [] && report.reducedJumps == [])
            let after = try node.rules("filter", "FORWARD")
            #expect(after.sorted() == (first + ["-m conntrack --ctstate NEW,RELATED -j ACCEPT"]).sorted())
            #expect(after.last?.hasSuffix("-j ACCEPT") == true)
            #expect(try await node.applier.apply(.small(kernelCase.family)).movedJumps == [])
        }

        @Test("a refused commit leaves doubled and hidden jumps where they were", arguments: KernelCase.all)
        func refused(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            _ = try await node.applier.apply(.small(kernelCase.family))
            try node.restore(
                """
                *filter
                -A INPUT -j KUBE-FIREWALL
                -I OUTPUT 2 -j ACCEPT
                -A OUTPUT -s \(kernelCase.loopback) -j ACCEPT
                -D FORWARD 2
                COMMIT

                """)
            let before =
                try node.rules("filter", "INPUT") + node.rules("filter", "OUTPUT")
                + node.rules("filter", "FORWARD")
            let bad = IPTablesBatch.small(kernelCase.family, service: "BAD", extra: Fault.loop.lines)
            let error = await #expect(throws: IPTablesError.self) { try await node.applier.apply(bad) }
            #expect(error?.aftermath == .putBack([.filter]))
            let after =
                try node.rules("filter", "INPUT") + node.rules("filter", "OUTPUT")
                + node.rules("filter", "FORWARD")
            #expect(after == before)
        }
    }
}

@Suite("What is mended, and what is left alone")
struct MendingDecisionTests {
    @Test(
        "rules that take every connection",
        arguments: [
            "-j ACCEPT", "-j DROP", "-j RETURN", "-g OTHERS", "-p tcp -j REJECT --reject-with tcp-reset",
            "-m comment --comment \"-s all -d all\" -j ACCEPT", "-p udp -m udp -j DNAT --to-destination 192.0.2.1",
            "-m conntrack --ctstate NEW,RELATED -j DROP", "-m state --state NEW -j QUEUE",
        ])
    func hiding(_ rule: String) throws {
        let mending = try mending(["-A INPUT \(rule)", "-A INPUT -j KUBE-FIREWALL"])
        #expect(mending.moved.count == 1 && mending.missing == [] && mending.reduced == [])
        #expect(text(mending) == "-D INPUT -j KUBE-FIREWALL\n-I INPUT -j KUBE-FIREWALL\n")
    }

    @Test(
        "rules that leave a jump where it is",
        arguments: [
            "-j OTHERS", "-j LOG", "-j MARK --set-xmark 0x1/0x1", "-s 192.0.2.0/24 -j DROP", "-i lo -j ACCEPT",
            "-p tcp -m tcp --dport 22 -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "! -p tcp -j DROP", "-m conntrack ! --ctstate NEW -j ACCEPT", "-m mark --mark 0x1/0x1 -g OTHERS",
            "-m set --match-set all src -j DROP", "-m limit --limit 5/sec -j ACCEPT", "-m socket -j ACCEPT", "",
        ])
    func notHiding(_ rule: String) throws {
        let mending = try mending(["-A INPUT \(rule)", "-A INPUT -j KUBE-FIREWALL", "-A INPUT -j DROP"])
        #expect(mending.lines == [] && mending.inserted == [])
    }

    @Test("a jump is reduced to its first place, also beside others")
    func places() throws {
        let mending = try mending([
            "-A INPUT -j ONE", "-A INPUT -j KUBE-FIREWALL", "-A INPUT -j TWO", "-A INPUT -m mark --mark 1 -j X",
            "-A INPUT -j KUBE-FIREWALL", "-A INPUT -g KUBE-FIREWALL", "-A INPUT -m mark --mark 1 -j X",
        ])
        #expect(mending.reduced.count == 2 && mending.moved == [])
        #expect(
            text(mending) == """
                -D INPUT -j KUBE-FIREWALL
                -D INPUT -j KUBE-FIREWALL
                -D INPUT -m mark --mark 1 -j X
                -D INPUT -m mark --mark 1 -j X
                -I INPUT 2 -j KUBE-FIREWALL
                -I INPUT 4 -m mark --mark 1 -j X

                """)
    }

    private func mending(_ rules: [String]) throws -> IPTablesJumpMending {
        let save = "*filter\n:INPUT ACCEPT [0:0]\n\(rules.joined(separator: "\n"))\nCOMMIT\n"
        let jumps = [
            IPTablesJump(table: .filter, chain: "INPUT", matches: "", target: "KUBE-FIREWALL"),
            IPTablesJump(table: .filter, chain: "INPUT", matches: "-m mark --mark 1", target: "X"),
        ]
        let table = try #require(IPTablesState(parsing: Array(save.utf8))["filter"])
        return IPTablesJumpMending(rules.contains { $0.hasSuffix("-j X") } ? jumps : [jumps[0]], before: table)
    }

    private func text(_ mending: IPTablesJumpMending) -> String { String(decoding: mending.lines, as: UTF8.self) }
}
