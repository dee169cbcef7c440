import ArgumentParser
import NFTBackend
import ProxyCore

/// How nftables mode lays out its rules.
enum NFTLayout: String, CaseIterable, ExpressibleByArgument {
    /// As kube-proxy: chains for every service port.
    case kubeProxy = "kube-proxy"
    /// Our own: maps that all service ports share.
    case sharedMaps = "shared-maps"

    /// The name of its table.
    var tableName: String {
        switch self {
        case .kubeProxy: NFTablesNames.kubeProxy
        case .sharedMaps: NFTablesNames.sharedMaps
        }
    }
}

/// The options that only nftables mode has.
struct NFTOptions: ParsableArguments {
    @Option(help: "In nftables mode: how the rules are laid out, shared-maps, if it is not given, or kube-proxy.")
    var layout: NFTLayout?

    @Flag(help: "In nftables mode: counts the connections to each service port.")
    var serviceCounters = false

    /// Ends the command with status 2 where an option has no meaning.
    func require(_ mode: ProxyMode) throws {
        var reason: String?
        if mode != .nftables {
            if layout != nil { reason = "--layout: mode \(mode.rawValue) has one layout only; say --mode nftables" }
            if serviceCounters {
                reason = "--service-counters: mode \(mode.rawValue) has no such counters; say --mode nftables"
            }
        } else if layout == .kubeProxy, serviceCounters {
            reason = "--service-counters: the layout kube-proxy has no such counters"
        }
        guard let reason else { return }
        Console.report("switchyard: error: \(reason)")
        throw ExitStatus.badInput
    }
}

extension ClusterInput {
    /// The table of a family as lines that `nft -f` reads.
    func nftablesText(_ family: IPFamily, facts: HostFacts, options: NFTOptions) -> [UInt8] {
        let (table, elements, counters) = nftablesRuleset(family, facts: facts, options: options)
        var writer = NFTTextWriter()
        writer.write(table, elements: elements, counters: counters)
        return writer.text
    }

    /// The lines that put the table of the layout kube-proxy in the place of every table of ours, in one transaction.
    func kubeProxyReplacement(_ family: IPFamily, facts: HostFacts) -> (text: [UInt8], servicePortCount: Int) {
        let (node, table) = nftablesPlans(family, facts: facts)
        let plans = Array(table.all)
        let (ruleset, elements) = KubeProxyLayout.ruleset(
            node: node, plans: plans, serviceRanges: state.serviceRanges(family))
        var writer = NFTTextWriter()
        // A table is added first so that deleting it is not refused where it was not there.
        writer.write(
            NFTTransaction(
                ruleset.identity,
                [
                    .addTable, .deleteTable(name: ruleset.identity.name),
                    .addOtherTable(name: NFTablesNames.sharedMaps), .deleteTable(name: NFTablesNames.sharedMaps),
                ]))
        writer.write(ruleset, elements: elements)
        return (writer.text, plans.count)
    }

    /// The table of a family as the kernel would have it, with counters that have counted nothing.
    func nftablesTable(_ family: IPFamily, facts: HostFacts, options: NFTOptions) -> NFTKernelTable {
        let (table, elements, counters) = nftablesRuleset(family, facts: facts, options: options)
        return NFTKernelTable(compiling: table, elements: elements, counters: counters)
    }

    private func nftablesRuleset(
        _ family: IPFamily, facts: HostFacts, options: NFTOptions
    ) -> (table: NFTTable, elements: [NFTElement], counters: [String]) {
        switch options.layout ?? .sharedMaps {
        case .sharedMaps:
            let table = sharedMaps(family, facts: facts, serviceCounters: options.serviceCounters)
            let (structure, elements) = table.ruleset()
            return (structure, elements, table.counterNames)
        case .kubeProxy:
            let (node, plans) = nftablesPlans(family, facts: facts)
            let (table, elements) = KubeProxyLayout.ruleset(
                node: node, plans: plans.all, serviceRanges: state.serviceRanges(family))
            return (table, elements, [])
        }
    }
}
