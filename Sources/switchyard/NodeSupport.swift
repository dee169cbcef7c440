import BatchApplier
import ProxyCore
import SyncLoop

/// What this node has and lacks for a mode.
enum NodeSupport {
    case known(present: [String], missing: [String])
    /// It could not be found out: why.
    case unknown(String)

    static func of(_ mode: ProxyMode, _ family: IPFamily) async -> NodeSupport {
        mode == .nftables ? await nftables(family) : await iptables(family)
    }

    private static func nftables(_ family: IPFamily) async -> NodeSupport {
        switch await NFTablesSupport.ofThisKernel(family) {
        case .known(let missing):
            let all = "this kernel has every feature of nf_tables that nftables mode uses"
            return .known(present: missing.isEmpty ? [all] : [], missing: missing)
        case .unknown(let reason): return .unknown(reason)
        }
    }

    private static func iptables(_ family: IPFamily) async -> NodeSupport {
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
        let chosen = await IPTablesVariant.detect()
        let use = "the variant \(chosen.rawValue) would be used, unless --variant says otherwise"
        if (try? await IPTablesTools.find(family, chosen)) == nil {
            missing.append("the programs of the variant \(chosen.rawValue), which this node uses, are missing")
        }
        return .known(present: present + [use], missing: missing)
    }
}
