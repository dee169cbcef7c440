import ChainRenderer
import EndpointWatcher
import ProxyCore
import TestSupport
import Testing

/// A golden cluster, read once: what walks need of it.
struct GoldenCluster {
    let configuration: ProxyConfiguration
    let state: ClusterState
    let node: Node

    init(_ golden: GoldenCase) throws {
        configuration = try ConfigurationReader.read(path: golden.configuration).0
        var state = ClusterState()
        for change in try ManifestReader.read(paths: [golden.cluster]).changes { state.apply(change) }
        self.state = state
        node = try #require(state.nodes[configuration.hostnameOverride])
    }

    var local: LocalAddresses { LocalAddresses(HostFacts(of: node).addresses) }

    func nodePlan(_ family: IPFamily) -> NodePlan {
        NodePlan(
            configuration, mode: .iptables, family: family, nodeName: node.name, node: node, facts: HostFacts(of: node))
    }

    func planWalk(_ family: IPFamily) -> PlanWalk {
        let plan = nodePlan(family)
        var table = PlanTable()
        _ = table.updateAll(from: state, in: plan.context)
        return PlanWalk(
            node: plan, plans: table.all, local: local, serviceRanges: state.serviceRanges(family))
    }
}

extension GoldenCase {
    /// The rows of the flows table of iptables mode; none for the clusters that tell pods by their interface.
    func flows() throws -> [FlowTable.Row] {
        guard let bytes = expected("flows.iptables.v4.tsv") else { return [] }
        return try FlowTable.read(String(decoding: bytes, as: UTF8.self), name: path("flows.iptables.v4.tsv"))
    }
}

extension GoldenCluster {
    /// The batch that a renderer makes of the cluster.
    func batch(_ family: IPFamily) -> IPTablesBatch {
        var rules = IPTablesRules(node: nodePlan(family))
        rules.update(state.services.keys, from: state)
        return rules.fullBatch()
    }
}
