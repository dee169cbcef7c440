import EndpointWatcher
import IPVSBackend
import ProxyCore
import TestSupport

extension GoldenCase {
    func ipvsTable(_ family: IPFamily, reversed: Bool = false) throws -> IPVSTable {
        let configuration = try ConfigurationReader.read(path: configuration).0
        let changes = try ManifestReader.read(paths: [cluster]).changes
        var state = ClusterState()
        for change in reversed ? changes.reversed() : changes { state.apply(change) }
        let node = state.nodes[configuration.hostnameOverride]
        let facts = HostFacts(of: node)
        let nodePlan = NodePlan(
            configuration, mode: .ipvs, family: family, nodeName: configuration.hostnameOverride, node: node,
            facts: facts)
        var plans = PlanTable()
        var table = IPVSTable(IPVSSettings(nodePlan, configuration.ipvs, facts: facts))
        table.update(plans.updateAll(from: state, in: nodePlan.context))
        return table
    }
}
