import Glibc
import TestSupport
import Testing

/// Gives a suite one lab for each variant of iptables and one for nftables mode, with the rules of `TrafficCluster` applied in its node.
struct TrafficLabs: SuiteTrait, TestScoping {
    enum Variant: String, CaseIterable, Sendable {
        case legacy
        case nft
        /// nftables mode.
        case nftables

        static let iptables: [Variant] = [.legacy, .nft]

        /// The variant of the programs of iptables that is used beside it.
        var ofIPTables: Variant { self == .nftables ? .nft : self }

        /// What a command is told.
        var options: [String] { self == .nftables ? ["--mode", "nftables"] : ["--variant", rawValue] }
    }

    @TaskLocal private static var labs: [Variant: TrafficLab] = [:]

    static func lab(_ variant: Variant) throws -> TrafficLab {
        try #require(labs[variant])
    }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        var labs: [Variant: TrafficLab] = [:]
        defer { labs.values.forEach { $0.close() } }
        for variant in Variant.allCases {
            let lab = try TrafficLab(node: TrafficCluster.node, hosts: TrafficCluster.hosts)
            labs[variant] = lab
            try Self.apply(variant, in: lab)
        }
        try await Self.$labs.withValue(labs, operation: function)
    }

    private static func apply(_ variant: Variant, in lab: TrafficLab) throws {
        var template = (P_tmpdir + "/traffic-XXXXXX").utf8CString.map { $0 }
        guard mkdtemp(&template) != nil else { throw CommandFailure("mkdtemp failed") }
        let directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        let files = ["cluster.yaml": TrafficCluster.manifests, "config.yaml": TrafficCluster.configuration]
        defer {
            files.keys.forEach { unlink("\(directory)/\($0)") }
            rmdir(directory)
        }
        for (name, text) in files {
            try Command.require(["tee", "\(directory)/\(name)"], input: text)
        }
        try Command.require(
            lab.inside(
                "node",
                [BuiltProducts.switchyard, "apply", "-f", "\(directory)/cluster.yaml"]
                    + ["--config", "\(directory)/config.yaml", "--family", "both"] + variant.options))
    }

    /// Why these tests cannot run on this machine; nil if they can.
    static let obstacle: String? = {
        guard !UserModeLinux.isInside else { return "only suites that are made for it run inside user-mode Linux" }
        guard geteuid() == 0 else { return "they need root" }
        for tool in ["ip", "iptables-legacy-restore", "iptables-nft-restore", "nft"] where !Command.isInstalled(tool) {
            return "\(tool) is not installed"
        }
        // Where namespaces are refused, or NAT in them, nothing else of the lab is needed to find out.
        do {
            let probe = try TrafficLab(node: TrafficLab.Host("node", []), hosts: [])
            defer { probe.close() }
            for command in ["iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"] {
                try Command.require(probe.inside("node", [command, "-t", "nat", "-L", "-n"]))
            }
            return nil
        } catch {
            return "\(error)"
        }
    }()
}

extension SuiteTrait where Self == TrafficLabs {
    static var trafficLabs: Self { TrafficLabs() }
}
