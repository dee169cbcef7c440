import ArgumentParser
import NFTBackend
import ProxyCore

/// How nftables mode lays out its rules.
enum NFTLayout: String, CaseIterable, ExpressibleByArgument {
    /// As kube-proxy: chains for every service port.
    case kubeProxy = "kube-proxy"
    /// Our own: maps that all service ports share.
    case sharedMaps = "shared-maps"
}

extension ClusterInput {
    /// The table of a family as lines that `nft -f` reads.
    func nftablesText(_ family: IPFamily, facts: HostFacts, layout: NFTLayout) -> [UInt8] {
        let (table, elements) = nftablesRuleset(family, facts: facts, layout: layout)
        var writer = NFTTextWriter()
        writer.write(table, elements: elements)
        return writer.text
    }

    /// The table of a family as the kernel would have it.
    func nftablesTable(_ family: IPFamily, facts: HostFacts, layout: NFTLayout) -> NFTKernelTable {
        let (table, elements) = nftablesRuleset(family, facts: facts, layout: layout)
        return NFTKernelTable(compiling: table, elements: elements)
    }

    private func nftablesRuleset(
        _ family: IPFamily, facts: HostFacts, layout: NFTLayout
    ) -> (table: NFTTable, elements: [NFTElement]) {
        switch layout {
        case .sharedMaps: return sharedMaps(family, facts: facts).ruleset()
        case .kubeProxy:
            let (node, plans) = nftablesPlans(family, facts: facts)
            return KubeProxyLayout.ruleset(
                node: node, plans: plans.all, serviceRanges: state.serviceRanges(family))
        }
    }
}
