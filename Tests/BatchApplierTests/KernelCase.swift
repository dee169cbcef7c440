import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

/// A variant and a family: the four kinds of tables that a kernel has.
struct KernelCase: Hashable, Sendable, CustomTestStringConvertible {
    let variant: IPTablesVariant
    let family: IPFamily

    static let all = IPTablesVariant.allCases.flatMap { variant in
        IPFamily.allCases.map { KernelCase(variant: variant, family: $0) }
    }

    var testDescription: String { "\(variant.rawValue), \(family.rawValue)" }
    var loopback: String { family == .ipv4 ? "127.0.0.1" : "::1" }
}

/// A namespace with tables, a lock file of its own and an applier for it.
final class KernelNode: Sendable {
    let namespace: Namespace
    let kernelCase: KernelCase
    let access: NodeAccess
    let tools: IPTablesTools
    let directory: TemporaryDirectory
    var lockFile: String { directory.path + "/xtables.lock" }

    init(_ kernelCase: KernelCase) async throws {
        self.kernelCase = kernelCase
        namespace = try Namespace()
        directory = try TemporaryDirectory()
        access = NodeAccess(
            commandPrefix: namespace.commandPrefix,
            environment: ["XTABLES_LOCKFILE": directory.path + "/xtables.lock"], processTimeout: .seconds(60))
        tools = try await IPTablesTools.find(kernelCase.family, kernelCase.variant, access)
    }

    var applier: IPTablesApplier { IPTablesApplier(tools: tools, access: access) }

    /// An applier whose restore program is a shell script; in it, `$REAL` is the real one and `$DIR` the directory of
    /// this node. So another program's acts can be put between the reading and the commit.
    func applier(restoringWith script: String) throws -> IPTablesApplier {
        let path = directory.path + "/restore"
        try Command.writeScript("REAL=\(tools.restore)\nDIR=\(directory.path)\n\(script)\n", to: path)
        let scripted = IPTablesTools(
            family: tools.family, variant: tools.variant, save: tools.save, restore: path, version: tools.version)
        return IPTablesApplier(tools: scripted, access: access)
    }

    /// The name of this case's `iptables` program.
    var program: String { "\(kernelCase.family.iptablesName)-\(kernelCase.variant.rawValue)" }

    /// Feeds another program's rules.
    func restore(_ text: String) throws {
        try namespace.require([program + "-restore", "--noflush", "--counters"], input: text, environment: environment)
    }

    /// What iptables-save prints of a table, without comments.
    func save(_ table: String, counters: Bool = true) throws -> [String] {
        try namespace.require(
            [program + "-save"] + (counters ? ["-c"] : []) + ["-t", table], environment: environment
        ).split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
    }

    /// The rules of a chain, without `-A CHAIN`.
    func rules(_ table: String, _ chain: String) throws -> [String] {
        try save(table, counters: false).filter { $0.hasPrefix("-A \(chain) ") }
            .map { String($0.dropFirst(chain.count + 4)) }
    }

    var environment: [String: String] { access.environment }
}

/// A directory that goes with the last reference to it.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("switchyard-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The rules of other programs, with counters and a policy, in the chains that ours go into too.
func foreignRules(_ family: IPFamily) -> String {
    let address = family == .ipv4 ? "192.0.2.7" : "2001:db8::7"
    return """
        *filter
        :INPUT ACCEPT [7:700]
        :FORWARD DROP [3:30]
        :OTHERS - [0:0]
        [5:500] -A INPUT -s \(address) -j DROP
        [2:20] -A INPUT -m comment --comment "kubernetes \\"service\\" portals" -j OTHERS
        [1:10] -A FORWARD -i eth9 -j OTHERS
        [4:40] -A OTHERS -p tcp -m tcp --dport 22 -j ACCEPT
        COMMIT
        *nat
        :PREROUTING ACCEPT [9:90]
        :OTHERS - [0:0]
        [6:60] -A PREROUTING -p udp -j OTHERS
        [8:80] -A OTHERS -d \(address) -j RETURN
        COMMIT

        """
}
