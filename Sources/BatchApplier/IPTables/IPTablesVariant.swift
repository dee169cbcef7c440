import ProxyCore

/// The two kernel interfaces that programs named iptables work on. A packet passes the rules of both.
public enum IPTablesVariant: String, CaseIterable, Hashable, Sendable {
    /// The tables of ip_tables and ip6_tables (`iptables-legacy`).
    case legacy
    /// Tables of nf_tables, spelled as iptables does (`iptables-nft`).
    case nft
}

extension IPTablesVariant {
    /// The most chains that go into one input (docs/decisions/0004). Legacy replaces a table as a whole each time, so
    /// pieces cost more there.
    public var chainLimit: Int { self == .nft ? 1000 : .max }

    /// Which variant a node uses: where the kubelet's chains are, else where there are more rules, else nft.
    ///
    /// The kubelet makes KUBE-KUBELET-CANARY and KUBE-IPTABLES-HINT in table mangle for this purpose. Both families
    /// are looked at, and where only one variant's programs are installed it is that one.
    public static func detect(_ access: NodeAccess = NodeAccess()) async -> IPTablesVariant {
        var sights: [IPTablesVariant: Sight] = [:]
        for family in IPFamily.allCases {
            for variant in IPTablesVariant.allCases {
                guard let tools = try? await IPTablesTools.find(family, variant, access) else { continue }
                sights[variant, default: Sight()] += await Sight(of: tools, access)
            }
        }
        return choose(sights)
    }

    /// What one variant's tables show.
    struct Sight: Hashable {
        var hasCanary = false
        var hasHint = false
        var ruleCount = 0

        static func += (left: inout Sight, right: Sight) {
            left.hasCanary = left.hasCanary || right.hasCanary
            left.hasHint = left.hasHint || right.hasHint
            left.ruleCount += right.ruleCount
        }
    }

    /// The choice between the variants that are installed.
    static func choose(_ sights: [IPTablesVariant: Sight]) -> IPTablesVariant {
        if sights.count == 1, let only = sights.keys.first { return only }
        let nft = sights[.nft] ?? Sight()
        let legacy = sights[.legacy] ?? Sight()
        if nft.hasCanary != legacy.hasCanary { return nft.hasCanary ? .nft : .legacy }
        if nft.hasHint != legacy.hasHint { return nft.hasHint ? .nft : .legacy }
        return legacy.ruleCount > nft.ruleCount ? .legacy : .nft
    }
}

extension IPTablesVariant.Sight {
    init(of tools: IPTablesTools, _ access: NodeAccess) async {
        if tools.variant == .legacy {
            // iptables-legacy-save loads ip_tables, and with -t makes the table. This file tells beforehand whether
            // there is one; it is missing where the module is not loaded.
            let names = await access.readFile("/proc/net/\(tools.family.procTableNames)") ?? ""
            guard !names.trimmed.isEmpty else { return }
        }
        let save = await access.run(tools.save)
        guard save.succeeded else { return }
        let state = IPTablesState(parsing: save.standardOutput)
        ruleCount = state.tables.reduce(0) { $0 + $1.chains.reduce(0) { $0 + $1.rules.count } }
        hasCanary = state["mangle"]?["KUBE-KUBELET-CANARY"] != nil
        hasHint = state["mangle"]?["KUBE-IPTABLES-HINT"] != nil
    }
}

extension IPFamily {
    /// The stem of the programs' names.
    var iptablesName: String { self == .ipv4 ? "iptables" : "ip6tables" }
    /// The file under /proc/net that lists the legacy tables in use.
    var procTableNames: String { self == .ipv4 ? "ip_tables_names" : "ip6_tables_names" }
}
