package import IPVSBackend
package import ProxyCore
package import TestSupport

extension GoldenCase {
    /// What ipvs mode asks for in a family.
    package func ipvsTable(_ family: IPFamily) throws -> IPVSTable {
        let cluster = try GoldenCluster(self, mode: .ipvs)
        var table = IPVSTable(
            IPVSSettings(cluster.nodePlan(family), cluster.configuration.ipvs, facts: cluster.facts))
        table.update(.init(changed: Array(cluster.plans(family).all)))
        return table
    }
}
