import BatchApplier
import ProxyCore
import SyncLoop

/// What this node has and lacks for a mode.
enum NodeSupport {
    case known(present: [String], missing: [String])
    /// It could not be found out: why.
    case unknown(String)

    /// - Parameter variant: of iptables; nil for the node's own.
    static func of(
        _ mode: ProxyMode, _ family: IPFamily, _ configuration: ProxyConfiguration, _ variant: IPTablesVariant?
    ) async -> NodeSupport {
        switch mode {
        case .nftables: await nftables(family)
        case .ipvs: await ipvs(family, IPVSScheduler(configuration.ipvs.scheduler), variant)
        case .iptables: await iptables(family, variant)
        }
    }

    private static func nftables(_ family: IPFamily) async -> NodeSupport {
        switch await NFTablesSupport.ofThisKernel(family) {
        case .known(let missing):
            let all = "this kernel has every feature of nf_tables that nftables mode uses"
            return .known(present: missing.isEmpty ? [all] : [], missing: missing)
        case .unknown(let reason): return .unknown(reason)
        }
    }

    static func iptables(_ family: IPFamily, _ variant: IPTablesVariant?) async -> NodeSupport {
        var present: [String] = []
        var missing: [String] = []
        for variant in IPTablesVariant.allCases {
            guard let tools = try? await IPTablesTools.find(family, variant) else { continue }
            let version = tools.version
            present.append(
                "\(variant.rawValue): \(tools.restore) and \(tools.save), version "
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
        let chosen = if let variant { variant } else { await IPTablesVariant.detect() }
        let reason = variant == nil ? ", unless --variant says otherwise" : ", as --variant says"
        let use = "the variant \(chosen.rawValue) would be used\(reason)"
        if (try? await IPTablesTools.find(family, chosen)) == nil {
            let reason = variant == nil ? ", which this node uses," : ""
            missing.append("the programs of the variant \(chosen.rawValue)\(reason) are missing")
        }
        return .known(present: present + [use], missing: missing)
    }
}
