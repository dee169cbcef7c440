import IPVSBackend
import ProxyCore

// What the commands do in ipvs mode.

extension ClusterInput {
    /// The virtual servers, sets, addresses and rules of a family.
    func ipvsTable(_ family: IPFamily, facts: HostFacts) -> IPVSTable {
        let node = NodePlan(
            configuration, mode: .ipvs, family: family, nodeName: nodeName, node: node, facts: facts)
        var plans = PlanTable()
        var table = IPVSTable(IPVSSettings(node, configuration.ipvs, facts: facts))
        table.update(plans.updateAll(from: state, in: node.context))
        return table
    }
}
