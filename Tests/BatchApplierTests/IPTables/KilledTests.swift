import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    /// A process is killed while its restore program runs, and another one commits other rules.
    @Suite("Killed in the middle of a commit", .kernel("iptables-legacy", "iptables-nft"))
    struct KilledTests {
        /// A node on which a process of its own commits through a restore program that waits for `let()`.
        private struct Scene {
            let node: KernelNode
            let programs: TemporaryDirectory
            let process: RunningCommand

            /// - Parameters:
            ///   - isOld: makes the restore program one that knows no lock file but its own.
            ///   - rules: what is there before.
            ///   - last: what the shell does after the wait; `$REAL` is the real program.
            init(
                _ variant: IPTablesVariant, _ batch: IPTablesBatch, isOld: Bool = false, onto rules: String = "",
                thenRunning last: String = #"exec $REAL "$@""#
            ) async throws {
                node = try await KernelNode(KernelCase(variant: variant, family: .ipv4))
                programs = try TemporaryDirectory()
                try node.restore(rules)
                let version = isOld ? "echo 'iptables-restore v1.8.4 (legacy)'; exit" : #"exec $REAL "$@""#
                try Command.writeScript(
                    """
                    REAL=\(node.tools.restore)
                    cd \(programs.path)
                    case "$*" in *--version*) \(version);; esac
                    # One byte, so that it is known that there is input.
                    dd bs=1 count=1 of=first 2>errors
                    echo $$ >pid
                    mv pid started
                    # Until the test is over at the latest. Standard output is the lock, which is held by nobody else.
                    until [ -e go ]; do [ -e started ] || exit; sleep 0.01 >/dev/null; done
                    { cat first; cat; } >input
                    exec <input
                    \(last)
                    """, to: programs.path + "/iptables-\(variant.rawValue)-restore")
                let file = programs.path + "/batch"
                try String(decoding: batch.text, as: UTF8.self).write(toFile: file, atomically: true, encoding: .utf8)
                process = try node.namespace.start(
                    [BuiltProducts.netlinkPeer, "apply", variant.rawValue, "IPv4", file, programs.path],
                    environment: node.environment)
                try wait(for: "started")
            }

            /// Waits until a file is there.
            func wait(for name: String) throws {
                let deadline = ContinuousClock.now + .seconds(20)
                while access(programs.path + "/" + name, F_OK) != 0 {
                    try #require(ContinuousClock.now < deadline, "\(name) never came")
                    usleep(5_000)
                }
            }

            /// Ends the process, but not the restore program that it started.
            func killProcess() {
                kill(process.pid, SIGKILL)
                process.waitUntilExit()
            }

            /// Lets the restore program go on.
            func go() throws { try Command.require(["touch", programs.path + "/go"]) }

            func text(_ name: String) -> String? { readSmallFile(programs.path + "/" + name) }
        }

        private func batch(_ address: String, rules: Int = 1) -> IPTablesBatch {
            let rule = "-A KUBE-SERVICES -d \(address)/32 -j RETURN\n"
            let text = "*nat\n:KUBE-SERVICES - [0:0]\n" + String(repeating: rule, count: rules) + "COMMIT\n"
            return IPTablesBatch(family: .ipv4, tables: [.init(name: .nat, text: Array(text.utf8))])
        }

        private func expectThatLaterRulesStay(_ scene: Scene) async throws {
            scene.killProcess()
            var applier = scene.node.applier
            applier.lockTimeout = .milliseconds(100)
            if scene.text("version") != nil { applier = try old(applier) }
            // The restore program that was left behind holds the lock.
            let error = try #require(
                await #expect(throws: IPTablesError.self) { try await applier.apply(batch("198.51.100.2")) })
            let pid = Int32(scene.text("started")?.trimmed ?? "")
            guard case .lockHeld(let holder?) = error.kind else {
                Issue.record("not held: \(error)")
                return
            }
            #expect(holder.pid == pid)
            applier.lockTimeout = .seconds(20)
            async let later = applier.apply(batch("198.51.100.2"))
            try scene.go()
            _ = try await later
            #expect(try scene.node.rules("nat", "KUBE-SERVICES") == ["-d 198.51.100.2/32 -j RETURN"])
            // It was there: what it was fed before the process was killed was whole.
            #expect(scene.text("input")?.contains("198.51.100.1/32") == true)
            #expect(scene.text("input")?.hasSuffix("COMMIT\n") == true)
        }

        /// The same with tools that are taken for old ones.
        private func old(_ applier: IPTablesApplier) throws -> IPTablesApplier {
            let version = try #require(IPTablesVersion(printed: "iptables-restore v1.8.4 (legacy)"))
            let tools = IPTablesTools(
                family: .ipv4, variant: .legacy, save: applier.tools.save, restore: applier.tools.restore,
                version: version)
            return IPTablesApplier(tools: tools, access: applier.access, lockTimeout: applier.lockTimeout)
        }

        @Test(
            "rules that a killed process left in its restore program do not come after later ones",
            arguments: IPTablesVariant.allCases)
        func laterRulesStay(_ variant: IPTablesVariant) async throws {
            try await expectThatLaterRulesStay(try await Scene(variant, batch("198.51.100.1")))
        }

        @Test("nor do they with a restore program too old for a lock file of its own")
        func laterRulesStayWithOldProgram() async throws {
            let scene = try await Scene(.legacy, batch("198.51.100.1"), isOld: true)
            try Command.require(["touch", scene.programs.path + "/version"])
            try await expectThatLaterRulesStay(scene)
        }

        @Test(
            "a table that was fed in part when the process was killed is not changed",
            arguments: IPTablesVariant.allCases)
        func fedInPart(_ variant: IPTablesVariant) async throws {
            // Far more than a pipe holds.
            let batch = batch("198.51.100.1", rules: 10_000)
            let rules = "*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j ACCEPT\nCOMMIT\n"
            let scene = try await Scene(
                variant, batch, onto: rules,
                thenRunning: #"$REAL "$@" 2>errors; echo $? >status.new; mv status.new status"#)
            let before = try scene.node.save("nat")
            scene.killProcess()
            try scene.go()
            try scene.wait(for: "status")
            let input = try #require(scene.text("input"))
            #expect(input.utf8.count > 1000 && input.utf8.count < batch.text.count)
            #expect(batch.text.starts(with: input.utf8))
            #expect(scene.text("status") != "0\n", "\(scene.text("errors") ?? "")")
            #expect(try scene.node.save("nat") == before)
            _ = try await scene.node.applier.apply(self.batch("198.51.100.2"))
            #expect(try scene.node.rules("nat", "KUBE-SERVICES") == ["-d 198.51.100.2/32 -j RETURN"])
        }
    }
}
