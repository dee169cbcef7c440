import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    @Suite("The variant a node uses", .kernel("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"))
    struct VariantTests {
        private func node(_ rules: [(program: String, text: String)]) throws -> (Namespace, NodeAccess) {
            let namespace = try Namespace()
            for (program, text) in rules { try namespace.require([program, "--noflush"], input: text) }
            return (namespace, NodeAccess(commandPrefix: namespace.commandPrefix))
        }

        private let manyRules = "*filter\n" + String(repeating: "-A INPUT -j ACCEPT\n", count: 9) + "COMMIT\n"

        @Test(
            "is where the kubelet's chains are",
            arguments: KernelCase.all, ["KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"])
        func kubelet(_ kernelCase: KernelCase, _ chain: String) async throws {
            let other: IPTablesVariant = kernelCase.variant == .nft ? .legacy : .nft
            let (namespace, access) = try node([
                ("iptables-\(other.rawValue)-restore", manyRules),
                (
                    "\(kernelCase.family.iptablesName)-\(kernelCase.variant.rawValue)-restore",
                    "*mangle\n:\(chain) - [0:0]\nCOMMIT\n"
                ),
            ])
            #expect(await IPTablesVariant.detect(access) == kernelCase.variant)
            withExtendedLifetime(namespace) {}
        }

        @Test("is where there are more rules, without the kubelet", arguments: IPTablesVariant.allCases)
        func moreRules(_ variant: IPTablesVariant) async throws {
            let other: IPTablesVariant = variant == .nft ? .legacy : .nft
            let (namespace, access) = try node([
                ("ip6tables-\(variant.rawValue)-restore", manyRules),
                ("iptables-\(other.rawValue)-restore", "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n"),
            ])
            #expect(await IPTablesVariant.detect(access) == variant)
            withExtendedLifetime(namespace) {}
        }

        @Test("is nft on an empty node, and looking makes no legacy table")
        func empty() async throws {
            let (namespace, access) = try node([])
            #expect(await IPTablesVariant.detect(access) == .nft)
            for names in ["ip_tables_names", "ip6_tables_names"] {
                #expect(try namespace.run(["cat", "/proc/net/\(names)"]).output == "")
            }
        }

        @Test("the canary counts for more than the hint, and the only variant installed is taken")
        func choice() {
            typealias Sight = IPTablesVariant.Sight
            #expect(IPTablesVariant.choose([.nft: Sight(hasHint: true), .legacy: Sight(hasCanary: true)]) == .legacy)
            #expect(IPTablesVariant.choose([.legacy: Sight()]) == .legacy)
            #expect(IPTablesVariant.choose([:]) == .nft)
        }
    }
}

extension KernelTests {
    @Suite("Programs and processes")
    struct ProcessTests {
        @Test("a missing program is an error of its family alone", .kernel("iptables-nft"))
        func missingProgram() async throws {
            let directory = try TemporaryDirectory()
            for part in ["-save", "-restore"] {
                try FileManager.default.createSymbolicLink(
                    atPath: directory.path + "/iptables-nft" + part,
                    withDestinationPath: try #require(NodeAccess().findProgram("iptables-nft" + part)))
            }
            let access = NodeAccess(searchPath: [directory.path])
            #expect(try await IPTablesTools.find(.ipv4, .nft, access).version.supportsRandomFully)
            let error = await #expect(throws: IPTablesError.self) { try await IPTablesTools.find(.ipv6, .nft, access) }
            #expect(error?.kind == .binaryMissing("ip6tables-nft-restore"))
            #expect(error?.description.contains("no ip6tables-nft-restore is installed") == true)
        }

        @Test("programs without a variant in their name are asked for it", .kernel("iptables-legacy"))
        func unsuffixedProgram() async throws {
            let directory = try TemporaryDirectory()
            for part in ["-save", "-restore"] {
                try FileManager.default.createSymbolicLink(
                    atPath: directory.path + "/iptables" + part,
                    withDestinationPath: try #require(NodeAccess().findProgram("iptables-legacy" + part)))
            }
            let access = NodeAccess(searchPath: [directory.path])
            #expect(try await IPTablesTools.find(.ipv4, .legacy, access).save == directory.path + "/iptables-save")
            await #expect(throws: IPTablesError.self) { try await IPTablesTools.find(.ipv4, .nft, access) }
        }

        @Test("a hanging program is ended and reported")
        func hangingProgram() async throws {
            let directory = try TemporaryDirectory()
            let script = directory.path + "/hang"
            let pidFile = directory.path + "/pid"
            try Command.writeScript("echo $$ >\(pidFile)\nexec sleep 60\n", to: script)
            let version = try #require(IPTablesVersion(printed: "iptables-restore v1.8.9 (nf_tables)"))
            let tools = IPTablesTools(family: .ipv4, variant: .nft, save: script, restore: script, version: version)
            var access = NodeAccess(environment: ["XTABLES_LOCKFILE": directory.path + "/lock"])
            access.processTimeout = .seconds(3)
            let applier = IPTablesApplier(tools: tools, access: access)
            let error = await #expect(throws: IPTablesError.self) { try await applier.apply(.small(.ipv4)) }
            #expect(error?.kind == .timedOut)
            let pid = try String(contentsOfFile: pidFile, encoding: .utf8).trimmed
            #expect(!FileManager.default.fileExists(atPath: "/proc/\(pid)"))
        }

        @Test("50 MB go in and come out at the same time")
        func largeInput() async {
            let input = [UInt8](repeating: UInt8(ascii: "x"), count: 50_000_000)
            let result = await NodeAccess().run("cat", input: InputText(input))
            #expect(result.succeeded)
            #expect(result.standardOutput == input)
        }

        @Test("a program that ends before it has read its input is judged by its status")
        func unreadInput() async {
            let input = [UInt8](repeating: UInt8(ascii: "x"), count: 5_000_000)
            let result = await NodeAccess().run("sh", ["-c", "echo refused >&2; exit 2"], input: InputText(input))
            #expect(result.ending == .exited(2))
            #expect(result.errorText == "refused\n")
        }

        @Test("what is printed to both outputs is drained while the input waits")
        func bothOutputs() async {
            let input = [UInt8](repeating: UInt8(ascii: "x"), count: 1_000_000)
            let script = "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; wc -c"
            let result = await NodeAccess().run("sh", ["-c", script], input: InputText(input))
            #expect(result.standardError.count == 3_000_000)
            #expect(result.standardOutput.count == 3_000_000 + "1000000\n".utf8.count)
        }

        @Test("a program that is not there is reported")
        func absentProgram() async {
            #expect(await NodeAccess().run("/nowhere/iptables").ending == .notStarted)
        }

        @Test("the node's facts are those of the kernel")
        func facts() async throws {
            let facts = await NodeFacts.gather()
            let loopback = try #require(facts.addresses.first { $0.address == .loopback(.ipv4) })
            #expect(loopback.interface == "lo" && loopback.prefixLength == 8)
            #expect(
                NodeFacts.hostName() + "\n"
                    == (try String(contentsOfFile: "/proc/sys/kernel/hostname", encoding: .utf8)))
            #expect(facts.masqueradesRandomly)
        }
    }
}

extension KernelTests {
    @Suite("Accounting objects", .kernel("nfacct"))
    struct AccountingTests {
        private static let inside = "SWITCHYARD_INSIDE_NAMESPACE"
        private static let names = ["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"]

        /// The objects are made by this process, which must not be moved into a namespace: so a second one of this test
        /// program is started there, with nothing to do but the test below.
        @Test("are made where they are missing")
        func ensure() throws {
            let namespace = try Namespace()
            try namespace.require(["nfacct", "add", Self.names[0]])
            var arguments = CommandLine.arguments
            arguments[0] = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            let result = try namespace.run(
                [arguments[0], "--testing-library", "swift-testing", "--filter", "AccountingTests/insideNamespace"],
                environment: [Self.inside: "true"])
            #expect(result.status == 0, "\(result.output)\(result.errors)")
            let list = try namespace.require(["nfacct", "list"])
            for name in Self.names { #expect(list.contains("\(name);")) }
        }

        @Test(.enabled(if: ProcessInfo.processInfo.environment[inside] != nil, "is a part of the test above"))
        func insideNamespace() throws {
            try Accounting.ensure(Self.names)
            try Accounting.ensure(Self.names)
        }

        @Test("are asked for in one message each")
        func message() {
            #expect(
                Accounting.message(.new, "ab") == [
                    28, 0, 0, 0,  // length
                    0, 7, 5, 6,  // NFNL_MSG_ACCT_NEW; REQUEST, ACK, EXCL, CREATE
                    1, 0, 0, 0, 0, 0, 0, 0,  // sequence, port
                    0, 0, 0, 0,  // nfgenmsg
                    7, 0, 1, 0, 97, 98, 0, 0,  // NFACCT_NAME "ab", padded
                ])
        }

        @Test("that a kernel does not have are told apart")
        func unsupported() {
            #expect(Accounting.Failure(objectName: "x", errno: EINVAL).isUnsupported)
            #expect(!Accounting.Failure(objectName: "x", errno: EPERM).isUnsupported)
        }
    }
}
