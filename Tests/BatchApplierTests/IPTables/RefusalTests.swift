import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

/// A way to make table nat fail after table filter has been committed.
enum Fault: CaseIterable, CustomTestStringConvertible {
    /// The restore program's parser refuses it.
    case unknownOption
    /// The kernel refuses it: chains that lead to each other and that a packet can reach.
    case loop

    var testDescription: String { self == .loop ? "a loop of jumps" : "an unknown option" }

    var lines: String {
        switch self {
        case .unknownOption: "-A KUBE-POSTROUTING --nonsense -j ACCEPT\n"
        case .loop: "-A KUBE-SVC-BAD -j KUBE-SERVICES\n"
        }
    }
}

extension KernelTests {
    @Suite("Refused commits", .kernel("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"))
    struct RefusalTests {
        private func failure(_ node: KernelNode, _ batch: IPTablesBatch) async -> IPTablesError? {
            await #expect(throws: IPTablesError.self) { try await node.applier.apply(batch) }
        }

        @Test("on empty tables leave nothing behind", arguments: KernelCase.all, Fault.allCases)
        func onEmptyTables(_ kernelCase: KernelCase, _ fault: Fault) async throws {
            let node = try await KernelNode(kernelCase)
            let before = [try node.save("filter"), try node.save("nat")]
            let batch = IPTablesBatch.small(kernelCase.family, service: "BAD", extra: fault.lines)
            let error = try #require(await failure(node, batch))
            #expect(error.kind == .refused && error.aftermath == .putBack([.filter]) && error.attempts == 1)
            #expect([try node.save("filter"), try node.save("nat")] == before)
        }

        @Test("leave an earlier state and foreign rules as they were", arguments: KernelCase.all, Fault.allCases)
        func onEarlierState(_ kernelCase: KernelCase, _ fault: Fault) async throws {
            let node = try await KernelNode(kernelCase)
            try node.restore(foreignRules(kernelCase.family))
            _ = try await node.applier.apply(.small(kernelCase.family, service: "OLD"))
            // A state that the next commit changes in each way: counters, a jump that is missing, a stale chain.
            try node.restore(
                """
                *filter
                :KUBE-FW-STALE - [0:0]
                :KUBE-FORWARD - [0:0]
                -D INPUT -j KUBE-FIREWALL
                [11:110] -A KUBE-FW-STALE -j DROP
                [12:120] -A KUBE-FORWARD -m comment --comment "former \\"rule\\"" -j ACCEPT
                [13:130] -A KUBE-FORWARD -j KUBE-FW-STALE
                COMMIT

                """)
            let before = [try node.save("filter"), try node.save("nat")]
            let batch = IPTablesBatch.small(kernelCase.family, service: "BAD", extra: fault.lines)
            let error = try #require(await failure(node, batch))
            #expect(error.aftermath == .putBack([.filter]))
            #expect([try node.save("filter"), try node.save("nat")] == before)
            #expect(error.description.contains("put back as before: filter"))
        }

        @Test("that change a built-in chain by their text put its rules back", arguments: KernelCase.all)
        func builtInChain(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            try node.restore(foreignRules(kernelCase.family))
            let before = try node.save("filter")
            var batch = IPTablesBatch.small(kernelCase.family, service: "BAD", extra: Fault.unknownOption.lines)
            batch.tables[0].text = Array("*filter\n-F INPUT\n-A OTHERS -j DROP\nCOMMIT\n".utf8)
            batch.jumps = []
            let error = try #require(await failure(node, batch))
            #expect(error.aftermath == .putBack([.filter]))
            #expect(try node.save("filter") == before)
        }

        @Test("in the first table change nothing", arguments: KernelCase.all)
        func inFirstTable(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            _ = try await node.applier.apply(.small(kernelCase.family))
            let before = [try node.save("filter"), try node.save("nat")]
            var batch = IPTablesBatch.small(kernelCase.family, service: "BAD")
            batch.tables[0].text = Array("*filter\n:KUBE-FORWARD - [0:0]\n-A NOWHERE -j DROP\nCOMMIT\n".utf8)
            let error = try #require(await failure(node, batch))
            #expect(error.aftermath == .unchanged)
            #expect([try node.save("filter"), try node.save("nat")] == before)
        }

        @Test("show the lines around the refused one", arguments: KernelCase.all, Fault.allCases)
        func linesAround(_ kernelCase: KernelCase, _ fault: Fault) async throws {
            let node = try await KernelNode(kernelCase)
            let batch = IPTablesBatch.small(kernelCase.family, service: "BAD", extra: fault.lines)
            let input = String(decoding: try await node.applier.dryRun(batch), as: UTF8.self).split(separator: "\n")
            let error = try #require(await failure(node, batch))
            let named = try #require(error.inputLines.first { $0.isNamed })
            for line in error.inputLines { #expect(input[line.number - 1] == line.text) }
            #expect(error.inputLines.contains { $0.text + "\n" == fault.lines })
            #expect(error.inputLines.contains { $0.number == named.number - 5 })
            #expect(error.description.contains("> \(named.number) \(named.text)"))
            switch fault {
            case .unknownOption: #expect(named.text + "\n" == fault.lines)
            // The legacy kernel names no rule, so the program names the table's last line; nft names a rule that is part
            // of the loop.
            case .loop where kernelCase.variant == .legacy: #expect(named.text == "COMMIT")
            case .loop: #expect(named.text.contains("-j KUBE-S"))
            }
        }

        @Test("of one family do not keep the other from being committed", arguments: IPTablesVariant.allCases)
        func otherFamily(_ variant: IPTablesVariant) async throws {
            let node = try await KernelNode(KernelCase(variant: variant, family: .ipv4))
            var failures: [IPFamily] = []
            for family in IPFamily.allCases {
                let tools = try await IPTablesTools.find(family, variant, node.access)
                let extra = family == .ipv4 ? Fault.loop.lines : ""
                do {
                    let applier = IPTablesApplier(tools: tools, access: node.access)
                    _ = try await applier.apply(.small(family, service: "BAD", extra: extra))
                } catch {
                    failures.append(error.family)
                }
            }
            #expect(failures == [.ipv4])
            let other = try await IPTablesTools.find(.ipv6, variant, node.access)
            let state = try await IPTablesApplier(tools: other, access: node.access).read([.nat])
            #expect(state["nat"]?["KUBE-SVC-BAD"] != nil)
            #expect(try !node.save("filter").contains { $0.contains("KUBE-") })
        }

        @Test("that cannot be put back name the half state", arguments: KernelCase.all)
        func halfState(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            // The second call, which is to put filter back, fails.
            let applier = try node.applier(
                restoringWith: """
                    if [ -e $DIR/called ]; then cat >/dev/null; echo "no second time" >&2; exit 1; fi
                    touch $DIR/called
                    exec $REAL "$@"
                    """)
            let batch = IPTablesBatch.small(kernelCase.family, service: "BAD", extra: Fault.unknownOption.lines)
            let error = try #require(
                await #expect(throws: IPTablesError.self) { try await applier.apply(batch) })
            guard case .halfDone([.filter], let reason) = error.aftermath else {
                Issue.record("not half done: \(error)")
                return
            }
            #expect(reason.contains("no second time"))
            #expect(error.description.contains("half state: filter"))
            #expect(try node.save("filter").contains { $0.contains(":KUBE-FORWARD") })
        }
    }
}
