import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    @Suite("Commits to a kernel", .kernel("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"))
    struct CommitTests {
        @Test("every golden cluster is accepted, stays as it is when repeated, and gives way to the next")
        func goldenClusters() async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for kernelCase in KernelCase.all { group.addTask { try await goldenClusters(kernelCase) } }
                try await group.waitForAll()
            }
        }

        private func goldenClusters(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            for golden in GoldenCase.all {
                let name: Comment = "\(golden.testDescription), \(kernelCase.testDescription)"
                let batch = try golden.batch(kernelCase.family)
                let first = try await node.applier.apply(batch)
                #expect(first.warnings == [], name)
                let state = try await node.applier.read([.filter, .nat])
                for table in [IPTablesBatch.TableName.filter, .nat] {
                    let declared = batch.declaredChains(table)
                    let present = Set(try #require(state[table.rawValue]).chains.map(\.name))
                    #expect(declared.subtracting(present) == [], name)
                    let owned = present.filter { chain in servicePrefixes.contains { chain.hasPrefix($0) } }
                    #expect(owned.subtracting(declared) == [], "stale chains are gone: \(name)")
                }
                let second = try await node.applier.apply(batch)
                #expect(second.insertedJumps == [] && second.removedChains == [], name)
                let again = try await node.applier.read([.filter, .nat])
                for table in [IPTablesBatch.TableName.filter, .nat] {
                    let isSame = try #require(again[table.rawValue]).hasSameRules(
                        as: try #require(state[table.rawValue]))
                    #expect(isSame, "repeating changes nothing: \(name)")
                }
            }
        }

        @Test("all jumps are put in, in kube-proxy's order", arguments: KernelCase.all)
        func jumpOrder(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            let report = try await node.applier.apply(.small(kernelCase.family))
            #expect(report.insertedJumps == serviceJumps)
            #expect(report.attempts == 1)
            // As iptables-save prints them after kube-proxy's first sync.
            let portals = #"-m comment --comment "kubernetes service portals" -j KUBE-SERVICES"#
            let firewall =
                #"-m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL"#
            let external =
                "-m conntrack --ctstate NEW -m comment --comment "
                + #""kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES"#
            #expect(
                try node.rules("filter", "INPUT") == [
                    "-j KUBE-FIREWALL", firewall,
                    #"-m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS"#, external,
                ])
            #expect(
                try node.rules("filter", "FORWARD") == [
                    firewall, #"-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD"#,
                    "-m conntrack --ctstate NEW " + portals, external,
                ])
            #expect(
                try node.rules("filter", "OUTPUT") == [
                    "-j KUBE-FIREWALL", firewall, "-m conntrack --ctstate NEW " + portals,
                ])
            #expect(try node.rules("nat", "PREROUTING") == [portals])
            #expect(try node.rules("nat", "OUTPUT") == [portals])
            #expect(
                try node.rules("nat", "POSTROUTING") == [
                    #"-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING"#
                ])
        }

        @Test("a jump removed by hand comes back, and no other is doubled", arguments: KernelCase.all)
        func jumpComesBack(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            _ = try await node.applier.apply(.small(kernelCase.family))
            let before = try node.rules("filter", "INPUT")
            try node.namespace.require(
                [node.program, "-D", "INPUT", "-j", "KUBE-FIREWALL"], environment: node.environment)
            #expect(try node.rules("filter", "INPUT") != before)
            let report = try await node.applier.apply(.small(kernelCase.family))
            #expect(report.insertedJumps.map(\.target) == ["KUBE-FIREWALL"])
            #expect(try node.rules("filter", "INPUT") == before)
        }

        @Test("the rules, chains, policies and counters of others stay byte for byte", arguments: KernelCase.all)
        func foreignRulesStay(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            try node.restore(foreignRules(kernelCase.family))
            let before = [try node.save("filter"), try node.save("nat")]
            for service in ["ONE", "TWO"] {
                _ = try await node.applier.apply(.small(kernelCase.family, service: service))
                let after = [try node.save("filter"), try node.save("nat")]
                #expect(after.map { $0.filter { !$0.contains("KUBE-") } } == before)
            }
        }

        @Test("a stale chain that another program uses is emptied, kept and named", arguments: KernelCase.all)
        func usedStaleChain(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            let old = "-A KUBE-SVC-OLD -j KUBE-MARK\n"
            _ = try await node.applier.apply(
                .small(kernelCase.family, service: "OLD", extra: ":KUBE-MARK - [0:0]\n" + old))
            try node.restore("*nat\n-A PREROUTING -p sctp -j KUBE-SVC-OLD\nCOMMIT\n")
            let report = try await node.applier.apply(.small(kernelCase.family, service: "NEW"))
            #expect(report.removedChains == [])
            #expect(report.warnings.count == 1 && report.warnings[0].contains("KUBE-SVC-OLD"))
            #expect(try node.rules("nat", "KUBE-SVC-OLD") == [])
            #expect(try node.rules("nat", "PREROUTING").contains { $0.contains("sctp") })
        }

        @Test("a dry run shows the input and changes nothing", arguments: KernelCase.all)
        func dryRun(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            _ = try await node.applier.apply(.small(kernelCase.family, service: "OLD"))
            let before = [try node.save("filter"), try node.save("nat")]
            let text = String(decoding: try await node.applier.dryRun(.small(kernelCase.family)), as: UTF8.self)
            #expect(text.contains("\n:KUBE-SVC-OLD - [0:0]\n") && text.contains("\n-X KUBE-SVC-OLD\nCOMMIT\n"))
            #expect(!text.contains("-I "))
            #expect([try node.save("filter"), try node.save("nat")] == before)
            let unsavedNode = try await KernelNode(kernelCase)
            let first = String(decoding: try await unsavedNode.applier.dryRun(.small(kernelCase.family)), as: UTF8.self)
            #expect(first.split(separator: "\n").count { $0.hasPrefix("-I ") } == 14)
        }

        @Test("kernel settings are made after the commit, and one that fails is a warning")
        func sysctls() async throws {
            let node = try await KernelNode(KernelCase(variant: .nft, family: .ipv4))
            var batch = IPTablesBatch.small(.ipv4)
            batch.sysctls = [
                .init(path: "net/ipv4/conf/all/route_localnet", value: "1"), .init(path: "net/ipv4/none", value: "1"),
            ]
            let report = try await node.applier.apply(batch)
            #expect(report.warnings.count == 1 && report.warnings[0].contains("net/ipv4/none"))
            let value = try node.namespace.require(["cat", "/proc/sys/net/ipv4/conf/all/route_localnet"])
            #expect(value == "1\n")
        }
    }
}
