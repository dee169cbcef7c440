import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    @Suite("Noticing other programs in nf_tables", .kernel("iptables-nft", "ip6tables-nft", "nft"))
    struct NFTablesWatchTests {
        /// What another program does, in the shell, and what is then said of it. `IPTABLES` and `FAMILY` stand for the
        /// names of the family.
        struct Act: Sendable, CustomTestStringConvertible {
            var command: String
            var findings: [String]
            var testDescription: String { command }

            static let all: [Act] = [
                Act(command: "true", findings: ["same generation"]),
                Act(command: "nft add table FAMILY other", findings: []),
                Act(command: "IPTABLES -A INPUT -j ACCEPT", findings: []),
                Act(command: "IPTABLES -t nat -N OTHERS", findings: ["to search: nat"]),
                Act(
                    command: "IPTABLES -D INPUT -j KUBE-FIREWALL",
                    findings: [
                        "lost: jump from INPUT to KUBE-FIREWALL of table filter",
                        "changed: rules of chain KUBE-FIREWALL of table filter",
                    ]),
                Act(
                    command: "IPTABLES -t nat -F KUBE-SERVICES",
                    findings: [
                        "lost: rules of chain KUBE-SERVICES of table nat",
                        "changed: rules of chain KUBE-SERVICES of table nat",
                    ]),
                Act(
                    command: "IPTABLES -t nat -A KUBE-POSTROUTING -j ACCEPT",
                    findings: ["changed: rules of chain KUBE-POSTROUTING of table nat"]),
                Act(
                    command: "IPTABLES -t nat -D KUBE-SERVICES 1; IPTABLES -t nat -X KUBE-SVC-ONE",
                    findings: [
                        "changed: rules of chain KUBE-SERVICES of table nat", "to search: nat", "missing: KUBE-SVC-ONE",
                    ]),
                Act(
                    command: "nft flush chain FAMILY filter FORWARD; nft delete chain FAMILY filter KUBE-FORWARD",
                    findings: [
                        "lost: chain KUBE-FORWARD of table filter",
                        "lost: jump from FORWARD to KUBE-EXTERNAL-SERVICES of table filter",
                        "lost: jump from FORWARD to KUBE-PROXY-FIREWALL of table filter",
                        "lost: jump from FORWARD to KUBE-SERVICES of table filter",
                        "changed: rules of chain KUBE-EXTERNAL-SERVICES of table filter",
                        "changed: rules of chain KUBE-PROXY-FIREWALL of table filter",
                        "changed: rules of chain KUBE-SERVICES of table filter", "to search: filter",
                    ]),
                Act(
                    command: "nft delete chain FAMILY nat PREROUTING",
                    findings: [
                        "lost: jump from PREROUTING to KUBE-SERVICES of table nat",
                        "changed: rules of chain KUBE-SERVICES of table nat", "to search: nat",
                    ]),
                Act(command: "nft delete table FAMILY nat", findings: ["lost: table nat"]),
                Act(command: "nft flush ruleset", findings: ["lost: table filter", "lost: table nat"]),
            ]
        }

        private func node(_ family: IPFamily) async throws -> (KernelNode, batchFile: String) {
            let node = try await KernelNode(KernelCase(variant: .nft, family: family))
            // Two services, so that KUBE-SERVICES has a rule left when one of them loses its own.
            let address = family == .ipv4 ? "198.51.100.2" : "2001:db8::2"
            let extra = "-A KUBE-SERVICES -d \(address) -j RETURN\n-A KUBE-POSTROUTING -j RETURN\n"
            let batch = IPTablesBatch.small(family, extra: extra)
            _ = try await node.applier.apply(batch)
            let jumps = batch.jumps.map { "jump \($0.table.rawValue) \($0.chain) \($0.target)\n" }.joined()
            let path = node.directory.path + "/batch"
            try (jumps + String(decoding: batch.text, as: UTF8.self)).write(
                toFile: path, atomically: true, encoding: .utf8)
            return (node, path)
        }

        private func watch(_ node: KernelNode, _ batchFile: String, _ command: String) throws -> [String] {
            let family = node.kernelCase.family
            let command = command.replacing("IPTABLES", with: node.program)
                .replacing("FAMILY", with: family == .ipv4 ? "ip" : "ip6")
            return try node.namespace.require([
                BuiltProducts.netlinkPeer, "watch", family.rawValue, batchFile, "KUBE-SVC-ONE,KUBE-SERVICES", command,
            ]).split(separator: "\n").map(String.init)
        }

        @Test("what another program takes away is named, and nothing else", arguments: IPFamily.allCases)
        func acts(_ family: IPFamily) async throws {
            for act in Act.all {
                let (node, batchFile) = try await node(family)
                #expect(try watch(node, batchFile, act.command) == act.findings, "\(act.command)")
            }
        }

        @Test("what was lost before the first look is not taken for what is to be")
        func nothingAbsorbed() async throws {
            let (node, batchFile) = try await node(.ipv4)
            try node.namespace.require(["iptables-nft", "-t", "nat", "-F", "KUBE-SERVICES"])
            try node.namespace.require(["iptables-nft", "-D", "INPUT", "-j", "KUBE-FIREWALL"])
            let findings = try watch(node, batchFile, "true")
            #expect(
                findings.filter { $0.hasPrefix("before") } == [
                    "before: jump from INPUT to KUBE-FIREWALL of table filter",
                    "before: rules of chain KUBE-SERVICES of table nat",
                ])
        }

        @Test("a writer who never stops keeps no look from ending")
        func busyWriter() async throws {
            let (node, batchFile) = try await node(.ipv4)
            let other = try node.namespace.start([
                "sh", "-c", "while :; do nft add table ip other; nft delete table ip other; done",
            ])
            for _ in 0..<5 {
                let family = IPFamily.ipv4.rawValue
                let result = try node.namespace.run([
                    BuiltProducts.netlinkPeer, "watch", family, batchFile, "KUBE-SVC-ONE", "sleep 0.05",
                ])
                // It may complain that the generation changes by itself, and on a slow machine it may not change.
                let output = result.output.replacing("same generation\n", with: "")
                #expect(output == "")
                #expect(result.status == 0 || result.errors.contains("by itself"), "\(result.errors)")
            }
            other.stop()
        }

        @Test("who changes what is ours is named by the kernel, and nobody where others' tables are changed")
        func firstWriter() throws {
            let namespace = try Namespace()
            let peer = BuiltProducts.netlinkPeer
            let foreign = "nft 'add table ip one; add chain ip one KUBE-X'; iptables-nft -t nat -A INPUT -s 192.0.2.1"
            #expect(try namespace.require([peer, "first-writer", "1000", foreign]) == "nobody\n")
            for deed in [
                "iptables-nft -t nat -N KUBE-SERVICES", "iptables-nft -t nat -A PREROUTING -j KUBE-SERVICES",
                "iptables-nft -t nat -I KUBE-SERVICES -s 192.0.2.1", "iptables-nft -t nat -F PREROUTING",
            ] {
                let found = try namespace.require([peer, "first-writer", "10000", deed])
                #expect(found.hasPrefix("iptables-nft "), "\(deed): \(found)")
            }
            let flush = "nft 'add table ip one; delete table ip one'; exec nft flush ruleset"
            #expect(try namespace.require([peer, "first-writer", "10000", flush]).hasPrefix("nft "))
        }
    }
}

@Suite("What is expected of nf_tables")
struct NFTablesExpectationTests {
    private func chain(_ table: IPTablesBatch.TableName, _ name: String) -> NFTablesExpectation.Chain {
        .init(table: table, name: name)
    }

    @Test("top-level chains and jumps are expected, chains of services are not")
    func fullBatch() {
        var expected = NFTablesExpectation(family: .ipv4)
        expected.add(.small(.ipv4))
        #expect(expected.tables == [.filter, .nat] && expected.jumps == serviceJumps)
        #expect(expected.chains.count == 8)
        #expect(expected.chains.contains(chain(.filter, "KUBE-FIREWALL")))
        #expect(expected.chainsWithRules == [chain(.filter, "KUBE-FORWARD"), chain(.nat, "KUBE-SERVICES")])
    }

    @Test("a batch that declares a chain anew decides whether it has rules; others are left as they were")
    func partialBatch() {
        var expected = NFTablesExpectation(family: .ipv4)
        expected.add(.small(.ipv4))
        let text = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\n-A KUBE-NODEPORTS -j RETURN\nCOMMIT\n"
        expected.add(
            IPTablesBatch(
                family: .ipv4, tables: [.init(name: .nat, text: Array(text.utf8))],
                jumps: [.init(table: .mangle, chain: "OUTPUT", matches: "", target: "NONE")]))
        #expect(expected.chainsWithRules == [chain(.filter, "KUBE-FORWARD"), chain(.nat, "KUBE-NODEPORTS")])
        #expect(expected.jumps == serviceJumps && expected.tables == [.filter, .nat])
    }

    @Test("text that ends anywhere is read to its end")
    func cutText() {
        let text = Array("*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j X\n".utf8)
        for count in 0...text.count {
            var expected = NFTablesExpectation(family: .ipv6)
            expected.add(
                IPTablesBatch(family: .ipv6, tables: [.init(name: .nat, text: Array(text.prefix(count)))]))
            #expect(expected.chains.count <= 1)
        }
    }
}
