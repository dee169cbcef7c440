import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    @Suite("Other programs at the same tables", .kernel("iptables-legacy", "iptables-nft", "flock", "nft"))
    struct OtherProgramTests {
        private let legacy = KernelCase(variant: .legacy, family: .ipv4)
        private let nft = KernelCase(variant: .nft, family: .ipv4)

        /// Starts a process and waits until it holds the lock file.
        private func hold(_ node: KernelNode, _ command: [String]) throws -> RunningCommand {
            let holder = try RunningCommand(command)
            while try Command.run(["flock", "-n", node.lockFile, "true"]).status == 0 { usleep(10_000) }
            return holder
        }

        @Test("a lock held for a while is waited for")
        func lockIsWaitedFor() async throws {
            let node = try await KernelNode(legacy)
            let holder = try hold(node, ["flock", "-o", node.lockFile, "sleep", "1"])
            let report = try await node.applier.apply(.small(.ipv4))
            #expect(report.insertedJumps.count == 14)
            holder.stop()
        }

        @Test("a lock held for too long is reported with its holder, and nothing is changed")
        func lockIsHeld() async throws {
            let node = try await KernelNode(legacy)
            let before = try node.save("filter")
            let holder = try hold(node, ["flock", "-o", node.lockFile, "sleep", "600"])
            var applier = node.applier
            applier.lockTimeout = .milliseconds(300)
            let error = try #require(
                await #expect(throws: IPTablesError.self) { try await applier.apply(.small(.ipv4)) })
            guard case .lockHeld(let found?) = error.kind else {
                Issue.record("no holder: \(error)")
                return
            }
            #expect(found.pid == holder.pid && found.command == "flock")
            #expect(error.description.contains("held by process \(holder.pid) (flock)"))
            #expect(try node.save("filter") == before)
            holder.stop()
        }

        @Test("the holder is found when it inherited the lock from a process that is gone")
        func lockIsInherited() async throws {
            let node = try await KernelNode(legacy)
            let script = "exec 9>\(node.lockFile); flock 9; exec sleep 600"
            let holder = try hold(node, ["sh", "-c", script])
            // flock itself is gone only a moment after it has taken the lock.
            while readSmallFile("/proc/\(holder.pid)/comm") != "sleep\n"
                || LockHolder.find(ofFileAt: node.lockFile)?.command == "flock"
            { usleep(10_000) }
            let found = LockHolder.find(ofFileAt: node.lockFile)
            #expect(found?.pid == holder.pid && found?.command == "sleep")
            holder.stop()
            #expect(LockHolder.find(ofFileAt: node.lockFile) == nil)
        }

        @Test("a restore program too old for a lock file of its own waits itself, and its exit status is understood")
        func oldProgram() async throws {
            let node = try await KernelNode(legacy)
            let version = try #require(IPTablesVersion(printed: "iptables-restore v1.8.4 (legacy)"))
            let tools = IPTablesTools(
                family: .ipv4, variant: .legacy, save: node.tools.save, restore: node.tools.restore, version: version)
            let applier = IPTablesApplier(tools: tools, access: node.access, lockTimeout: .seconds(1))
            let holder = try hold(node, ["flock", "-o", node.lockFile, "sleep", "600"])
            let error = try #require(
                await #expect(throws: IPTablesError.self) { try await applier.apply(.small(.ipv4)) })
            #expect(error.exitStatus == 4)
            #expect(error.kind == .lockHeld(LockHolder(pid: holder.pid, command: "flock")))
            holder.stop()
            #expect(try await applier.apply(.small(.ipv4)).insertedJumps.count == 14)
        }

        @Test("transactions in between never keep a commit from succeeding, and no jump is doubled")
        func transactionsBetween() async throws {
            let node = try await KernelNode(nft)
            try node.restore(foreignRules(.ipv4))
            let others = try [
                "while :; do nft add table ip other; nft delete table ip other; done",
                "while :; do iptables-nft -A OTHERS -j RETURN; iptables-nft -D OTHERS -j RETURN; done",
                "while :; do iptables-nft -t nat -N KUBE-SEP-X; iptables-nft -t nat -X KUBE-SEP-X; done",
            ].map { try node.namespace.start(["sh", "-c", $0]) }
            for round in 0..<20 {
                _ = try await node.applier.apply(.small(.ipv4, service: round % 2 == 0 ? "EVEN" : "ODD"))
            }
            others.forEach { $0.stop() }
            try await expectEachJumpOnce(node)
            #expect(try node.save("nat").contains { $0.hasPrefix(":KUBE-SVC-ODD") })
            #expect(try !node.save("nat").contains { $0.hasPrefix(":KUBE-SVC-EVEN") })
        }

        @Test("a rule that comes in between and makes the commit fail is met by reading again")
        func repeated() async throws {
            let node = try await KernelNode(nft)
            _ = try await node.applier.apply(.small(.ipv4, service: "OLD"))
            // On the first call another program leads packets to the chain that is about to be removed.
            let applier = try node.applier(
                restoringWith: """
                    [ -e $DIR/called ] || iptables-nft -t nat -A PREROUTING -p sctp -j KUBE-SVC-OLD
                    touch $DIR/called
                    exec $REAL "$@"
                    """)
            let report = try await applier.apply(.small(.ipv4, service: "NEW"))
            #expect(report.attempts == 2)
            #expect(report.warnings.count == 1 && report.warnings[0].contains("KUBE-SVC-OLD"))
            #expect(try node.save("nat").contains { $0.hasPrefix(":KUBE-SVC-NEW") })
            try await expectEachJumpOnce(node)
        }

        @Test("a commit that fails each time is given up after three attempts")
        func givenUp() async throws {
            let node = try await KernelNode(nft)
            _ = try await node.applier.apply(.small(.ipv4, service: "OLD"))
            let before = try node.save("filter")
            let applier = try node.applier(
                restoringWith: #"iptables-nft -t nat -A OUTPUT -p sctp -j ACCEPT; exec $REAL "$@""#)
            let batch = IPTablesBatch.small(.ipv4, service: "BAD", extra: Fault.unknownOption.lines)
            let error = try #require(await #expect(throws: IPTablesError.self) { try await applier.apply(batch) })
            #expect(error.attempts == 3 && error.kind == .refused)
            #expect(error.description.contains("Tried 3 times"))
            #expect(try node.save("filter") == before)
        }

        @Test("a jump that another program puts in at the same time is there once in the end")
        func sameJump() async throws {
            let node = try await KernelNode(nft)
            let jump = #"-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES"#
            let applier = try node.applier(
                restoringWith: """
                    [ -e $DIR/called ] || { iptables-nft -t nat -N KUBE-SERVICES; iptables-nft -t nat \(jump); }
                    touch $DIR/called
                    exec $REAL "$@"
                    """)
            let report = try await applier.apply(.small(.ipv4))
            #expect(report.insertedJumps.count == 14 && report.warnings == [])
            try await expectEachJumpOnce(node)
        }

        @Test("two that apply at once put each jump in once", arguments: KernelCase.all)
        func twoAtOnce(_ kernelCase: KernelCase) async throws {
            let node = try await KernelNode(kernelCase)
            let applier = node.applier
            for service in ["ONE", "TWO", "THREE"] {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<2 {
                        group.addTask { _ = try await applier.apply(.small(kernelCase.family, service: service)) }
                    }
                    try await group.waitForAll()
                }
                try await expectEachJumpOnce(node)
                for table in ["filter", "nat"] {
                    try node.namespace.require(
                        [node.program, "-t", table, "-F", "OUTPUT"], environment: node.environment)
                }
            }
        }

        @Test("a program that keeps the lock's rules loses none of its own", arguments: IPFamily.allCases)
        func politeProgram(_ family: IPFamily) async throws {
            let node = try await KernelNode(KernelCase(variant: .legacy, family: family))
            try node.restore(foreignRules(family))
            let count = 40
            let script =
                "for i in $(seq \(count)); do \(node.program) -w 30 -A OTHERS -p udp --dport $i -j ACCEPT; done"
            let environment = node.environment
            let other = try node.namespace.start(["sh", "-c", script], environment: environment)
            for round in 0..<6 { _ = try await node.applier.apply(.small(family, service: "S\(round)")) }
            other.waitUntilExit()
            #expect(try node.rules("filter", "OTHERS").count == count + 1)
            try await expectEachJumpOnce(node)
        }

        private func expectEachJumpOnce(_ node: KernelNode) async throws {
            let state = try await node.applier.read([.filter, .nat])
            for jump in serviceJumps {
                #expect(state[jump.table.rawValue]?[jump.chain]?.count(of: jump) == 1, "\(jump)")
            }
        }
    }
}
