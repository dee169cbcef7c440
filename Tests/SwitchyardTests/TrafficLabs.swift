import Glibc
import TestSupport
import Testing

/// Gives a suite one lab for each mode and variant of iptables that this kernel has, with the rules of `TrafficCluster`
/// applied in its node.
struct TrafficLabs: SuiteTrait, TestScoping {
    enum Variant: String, CaseIterable, Sendable {
        case legacy
        case nft
        /// nftables mode.
        case nftables
        /// ipvs mode, inside user-mode Linux.
        case ipvs

        static let iptables: [Variant] = [.legacy, .nft]
        static let notOfIPTables = here.filter { !iptables.contains($0) }
        /// What there is where this process runs.
        static let here: [Variant] = UserModeLinux.isInside ? [.ipvs] : iptables + [.nftables]

        /// The variant of the programs of iptables that is used beside it.
        var ofIPTables: Variant {
            switch self {
            case .legacy, .ipvs: .legacy
            case .nft, .nftables: .nft
            }
        }

        /// What a command is told.
        var options: [String] {
            switch self {
            case .legacy, .nft: ["--variant", rawValue]
            case .nftables: ["--mode", rawValue]
            case .ipvs: ["--mode", rawValue, "--variant", "legacy"]
            }
        }
    }

    @TaskLocal private static var nodes: [Variant: TrafficNode] = [:]

    static func node(_ variant: Variant) throws -> TrafficNode { try #require(nodes[variant]) }

    static func lab(_ variant: Variant) throws -> TrafficLab { try node(variant).lab }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        var nodes: [Variant: TrafficNode] = [:]
        defer { nodes.values.forEach { $0.close() } }
        for variant in Variant.here {
            let node = try TrafficNode(variant)
            nodes[variant] = node
            try node.require()
        }
        try await Self.$nodes.withValue(nodes, operation: function)
    }

    /// Why these tests cannot run on this machine; nil if they can.
    static let obstacle: String? = {
        guard !UserModeLinux.isInside else { return nil }
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
