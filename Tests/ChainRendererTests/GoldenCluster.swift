import ChainRenderer
import GoldenSupport
import ProxyCore
import TestSupport
import Testing

extension GoldenCase {
    /// The rows of the flows table of iptables mode; none for the clusters that tell pods by their interface.
    func flows() throws -> [FlowTable.Row] {
        guard let bytes = expected("flows.iptables.v4.tsv") else { return [] }
        return try FlowTable.read(String(decoding: bytes, as: UTF8.self), name: path("flows.iptables.v4.tsv"))
    }
}

extension GoldenCluster {
    init(_ golden: GoldenCase) throws { try self.init(golden, mode: .iptables) }

    /// The batch that a renderer makes of the cluster.
    func batch(_ family: IPFamily) -> IPTablesBatch {
        var rules = IPTablesRules(node: nodePlan(family))
        rules.update(state.services.keys, from: state)
        return rules.fullBatch()
    }
}
