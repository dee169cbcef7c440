import GoldenSupport
import IPVSBackend
import ProxyCore
import TestSupport

extension GoldenCase {
    func ipvsTable(_ family: IPFamily) throws -> IPVSTable {
        let cluster = try GoldenCluster(self, mode: .ipvs)
        var table = IPVSTable(
            IPVSSettings(cluster.nodePlan(family), cluster.configuration.ipvs, facts: cluster.facts))
        table.update(.init(changed: Array(cluster.plans(family).all)))
        return table
    }
}
