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
        let ruleset =
            switch layout {
            case .kubeProxy: kubeProxyRuleset(family, facts: facts)
            case .sharedMaps: sharedMaps(family, facts: facts).ruleset()
            }
        var writer = NFTTextWriter()
        writer.write(ruleset.table, elements: ruleset.elements)
        return writer.text
    }

    private func kubeProxyRuleset(
        _ family: IPFamily, facts: HostFacts
    ) -> (table: NFTTable, elements: [NFTElement]) {
        let (node, plans) = nftablesPlans(family, facts: facts)
        return KubeProxyLayout.ruleset(
            node: node, plans: plans.all, serviceRanges: state.serviceRanges(family))
    }
}
