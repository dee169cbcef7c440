import BatchApplier
import ProxyCore
import SyncLoop

/// What this node has and lacks for a mode.
enum NodeSupport {
    case known(present: [String], missing: [String])
    /// It could not be found out: why.
    case unknown(String)

    /// The variant of iptables that is used.
    struct Variant {
        let chosen: IPTablesVariant
        /// True if an option names it, false if it is the node's own.
        let isAsked: Bool
    }

    /// - Parameter variant: of iptables; nil for the node's own.
    static func of(
        _ mode: ProxyMode, _ families: [IPFamily], _ configuration: ProxyConfiguration, _ variant: IPTablesVariant?
    ) async -> [(family: IPFamily, support: NodeSupport)] {
        var all: [(family: IPFamily, support: NodeSupport)] = []
        if mode == .nftables {
            for family in families { all.append((family, await nftables(family))) }
            return all
        }
        let variant = Variant(chosen: await .chosen(variant), isAsked: variant != nil)
        for family in families {
            let support =
                mode == .ipvs
                ? await ipvs(family, IPVSScheduler(configuration.ipvs.scheduler), variant)
                : await iptables(family, variant)
            all.append((family, support))
        }
        return all
    }

    private static func nftables(_ family: IPFamily) async -> NodeSupport {
        switch await NFTablesSupport.ofThisKernel(family) {
        case .known(let missing):
            let all = "this kernel has every feature of nf_tables that nftables mode uses"
            return .known(present: missing.isEmpty ? [all] : [], missing: missing)
        case .unknown(let reason): return .unknown(reason)
        }
    }

    static func iptables(_ family: IPFamily, _ variant: Variant) async -> NodeSupport {
        var present: [String] = []
        var missing: [String] = []
        for installed in IPTablesVariant.allCases {
            guard let tools = try? await IPTablesTools.find(family, installed) else { continue }
            let version = tools.version
            present.append(
                "\(installed.rawValue): \(tools.restore) and \(tools.save), version "
                    + "\(version.major).\(version.minor).\(version.patch)")
            if !version.supportsRandomFully {
                missing.append(
                    "\(tools.restore) is older than 1.6.2 and cannot masquerade with random ports (--random-fully)")
            }
        }
        guard !present.isEmpty else {
            let name = family == .ipv4 ? "iptables" : "ip6tables"
            return .known(
                present: [],
                missing: ["the programs \(name)-restore and \(name)-save are missing, of either variant"])
        }
        let reason = variant.isAsked ? ", as --variant says" : ", unless --variant says otherwise"
        let use = "the variant \(variant.chosen.rawValue) would be used\(reason)"
        if (try? await IPTablesTools.find(family, variant.chosen)) == nil {
            let reason = variant.isAsked ? "" : ", which this node uses,"
            missing.append("the programs of the variant \(variant.chosen.rawValue)\(reason) are missing")
        }
        return .known(present: present + [use], missing: missing)
    }
}
