import EndpointWatcher
package import ProxyCore
package import TestSupport
import Testing

/// A golden cluster in a mode, read once, with the node's addresses as its Node object has them.
package struct GoldenCluster {
    package let configuration: ProxyConfiguration
    package let mode: ProxyMode
    package let state: ClusterState
    package let node: Node

    package init(_ golden: GoldenCase, mode: ProxyMode) throws {
        self.mode = mode
        configuration = try ConfigurationReader.read(path: golden.configuration).0
        var state = ClusterState()
        for change in try ManifestReader.read(paths: [golden.cluster]).changes { state.apply(change) }
        self.state = state
        node = try #require(state.nodes[configuration.hostnameOverride])
    }

    package var facts: HostFacts { HostFacts(of: node) }

    package var local: LocalAddresses { LocalAddresses(facts.addresses) }

    package func nodePlan(_ family: IPFamily) -> NodePlan {
        NodePlan(configuration, mode: mode, family: family, nodeName: node.name, node: node, facts: facts)
    }

    package func plans(_ family: IPFamily) -> PlanTable {
        var table = PlanTable()
        _ = table.updateAll(from: state, in: nodePlan(family).context)
        return table
    }

    package func planWalk(_ family: IPFamily) -> PlanWalk {
        PlanWalk(
            node: nodePlan(family), plans: plans(family).all, local: local,
            serviceRanges: state.serviceRanges(family))
    }
}
