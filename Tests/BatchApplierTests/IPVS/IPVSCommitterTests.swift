import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    /// What a commit does about the rules that serve already, in a kernel that need not have IPVS.
    @Suite("A commit of ipvs mode on a node that iptables mode serves", .kernel("iptables-nft"))
    struct IPVSCommitterTests {
        private let node: KernelNode

        init() async throws {
            node = try await KernelNode(KernelCase(variant: .nft, family: .ipv4))
            try node.restore(
                "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\n-A KUBE-SERVICES -j KUBE-NODEPORTS\nCOMMIT\n")
        }

        private func committer(savingWith script: String) throws -> IPVSCommitter {
            func program(_ name: String, _ script: String) throws -> String {
                let path = node.directory.path + "/" + name
                try Command.writeScript("cd \(node.directory.path)\n\(script)\n", to: path)
                return path
            }
            let tools = IPTablesTools(
                family: .ipv4, variant: .nft, save: try program("save", script),
                restore: try program("restore", "tee input | \(node.tools.restore) \"$@\""), version: node.tools.version
            )
            return IPVSCommitter(tools: tools, access: node.access)
        }

        private var batch: IPVSBatch {
            var batch = IPVSBatch(family: .ipv4)
            batch.rules = IPTablesBatch(
                family: .ipv4,
                tables: [
                    .init(name: .nat, text: Array("*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n".utf8)),
                    .init(name: .filter, text: Array("*filter\n:KUBE-FORWARD - [0:0]\nCOMMIT\n".utf8)),
                ])
            return batch
        }

        @Test("table nat is the last to be replaced, also where the daemon is stopped meanwhile")
        func cancellation() async throws {
            let committer = try committer(savingWith: "touch begun; sleep 0.5; exec \(node.tools.save) \"$@\"")
            let task = Task { [batch] in try await committer.commit(batch) }
            let begun = node.directory.path + "/begun"
            while readSmallFile(begun) == nil { try await Task.sleep(for: .milliseconds(5)) }
            task.cancel()
            #expect(try await task.value.warnings == [])
            let input = try #require(readSmallFile(node.directory.path + "/input"))
            let tables = input.split(separator: "\n").filter { $0.hasPrefix("*") }
            #expect(tables == ["*filter", "*nat"])
        }

        @Test("nothing is replaced where it cannot be told who serves")
        func unreadable() async throws {
            // Reading is given up after so many attempts; a later one would succeed.
            let attempts = node.applier.attemptLimit
            let committer = try committer(
                savingWith: """
                    echo >>attempts
                    [ $(wc -l <attempts) -gt \(attempts) ] && exec \(node.tools.save) "$@"
                    exit 1
                    """)
            await #expect(throws: IPTablesError.self) { try await committer.commit(batch) }
            #expect(readSmallFile(node.directory.path + "/input") == nil)
        }
    }
}
