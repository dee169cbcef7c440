import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    @Suite("Cleaning", .kernel("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"))
    struct CleanupTests {
        @Test("a table refused after another was cleaned puts that one back whole", arguments: KernelCase.all)
        func refused(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            try node.restore(foreignRules(kernelCase.family))
            _ = try await node.applier.apply(.small(kernelCase.family))
            try node.restore("*filter\n-A INPUT -j KUBE-NODEPORTS\n-A FORWARD -j OTHERS\nCOMMIT\n")
            let before = [try node.rules("filter", "INPUT"), try node.save("filter"), try node.save("nat")]
            let applier = try node.applier(
                restoringWith: """
                    [ -e $DIR/called ] && exec $REAL "$@"
                    touch $DIR/called
                    sed '/^[*]nat/,$ s/^-X KUBE-SERVICES/-X NOTHING/' | $REAL "$@"
                    """)
            let error = try #require(await #expect(throws: IPTablesError.self) { try await applier.cleanUp() })
            #expect(error.aftermath == .putBack([.filter]), "\(error)")
            #expect(error.description.hasPrefix("Cannot clean the tables filter, nat"))
            #expect([try node.rules("filter", "INPUT"), try node.save("filter"), try node.save("nat")] == before)
            _ = try await node.applier.cleanUp()
            let left = try node.save("filter") + node.save("nat")
            #expect(left.filter { $0.contains("KUBE-") }.allSatisfy { $0.contains("KUBE-FIREWALL") })
        }

        @Test("a foreign rule that comes in between is met by reading again")
        func between() async throws {
            let node = try await KernelNode(KernelCase(variant: .nft, family: .ipv4))
            _ = try await node.applier.apply(.small(.ipv4))
            let applier = try node.applier(
                restoringWith: """
                    [ -e $DIR/called ] || iptables-nft -t nat -A PREROUTING -p sctp -j KUBE-SERVICES
                    touch $DIR/called
                    exec $REAL "$@"
                    """)
            let cleanup = try await applier.cleanUp()
            #expect(cleanup.foreignRules.map(\.text) == ["-A PREROUTING -p sctp -j KUBE-SERVICES"])
            #expect(try node.rules("nat", "PREROUTING") == ["-p sctp -j KUBE-SERVICES"])
            #expect(try node.save("nat").filter { $0.hasPrefix(":KUBE-") } == [":KUBE-SERVICES - [0:0]"])
        }
    }
}

@Suite("What is ours")
struct OwnedChainsTests {
    @Test(
        "jumps of kube-proxy's shapes",
        arguments: [
            "-j KUBE-SERVICES", "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
            "-m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES",
            "-m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" "
                + "-j KUBE-PROXY-FIREWALL",
            "-m comment --comment \"kube-proxy firewall rules\" -j KUBE-PROXY-FIREWALL",
        ])
    func jumps(_ rule: String) {
        #expect(OwnedChains.isJump(RuleClauses(Array(rule.utf8))))
    }

    @Test(
        "rules of others that lead to our chains",
        arguments: [
            "-p tcp -j KUBE-SERVICES", "-s 192.0.2.0/24 -j KUBE-SERVICES", "-g KUBE-SERVICES", "-j KUBE-SVC-ABC",
            "-m comment --comment \"by hand\" -j KUBE-SERVICES", "-m conntrack ! --ctstate NEW -j KUBE-SERVICES",
            "-m conntrack --ctstate NEW,RELATED -j KUBE-SERVICES", "-j KUBE-FIREWALL", "-j ACCEPT",
        ])
    func foreign(_ rule: String) {
        #expect(!OwnedChains.isJump(RuleClauses(Array(rule.utf8))))
    }

    @Test("the kubelet's chains, and names that only look like ours, are not ours")
    func names() {
        for name in [
            "KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT", "KUBE-MARK-DROP", "KUBE-ROUTER-INPUT",
            "KUBE-SERVICES2", "KUBE-POD-FW-ABC", "MY-KUBE-SVC-1", "kube-services", "DOCKER",
        ] {
            for table in IPTablesBatch.TableName.allCases { #expect(!OwnedChains.contains(name, in: table), "\(name)") }
        }
        #expect(OwnedChains.contains("KUBE-SVC-ABC", in: .nat) && OwnedChains.contains("KUBE-FW-ABC", in: .filter))
        #expect(OwnedChains.contains("KUBE-PROXY-CANARY", in: .mangle))
        #expect(!OwnedChains.contains("KUBE-SERVICES", in: .mangle))
    }

    @Test("chains belong to the mode that has them, or to both")
    func modes() {
        for (name, table, mode) in [
            ("KUBE-SEP-ABC", IPTablesBatch.TableName.nat, ProxyMode.iptables), ("KUBE-NODEPORTS", .filter, .iptables),
            ("KUBE-SERVICES", .filter, .iptables), ("KUBE-PROXY-CANARY", .mangle, .iptables),
            ("KUBE-NODE-PORT", .filter, .ipvs), ("KUBE-SOURCE-RANGES-FIREWALL", .filter, .ipvs),
            ("KUBE-LOAD-BALANCER", .nat, .ipvs), ("KUBE-SERVICES", .nat, nil), ("KUBE-PROXY-FIREWALL", .filter, nil),
        ] {
            #expect(OwnedChains.contains(name, in: table))
            #expect(OwnedChains.mode(of: name, in: table) == mode, "\(name)")
        }
    }

    @Test(
        "the mode that serves is the one that KUBE-SERVICES leads to",
        arguments: [
            ("-j KUBE-NODEPORTS", ProxyMode.iptables), ("-j KUBE-SVC-ABC", .iptables), ("-j KUBE-NODE-PORT", .ipvs),
            ("-j KUBE-MARK-MASQ", nil), ("-j ACCEPT", nil),
        ])
    func servingMode(_ rule: String, _ mode: ProxyMode?) {
        let save = "*nat\n:KUBE-SERVICES - [0:0]\n[0:0] -A KUBE-SERVICES \(rule)\nCOMMIT\n"
        #expect(IPTablesState(parsing: Array(save.utf8)).servingMode == mode)
    }
}
