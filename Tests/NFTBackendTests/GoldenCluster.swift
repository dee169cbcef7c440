import EndpointWatcher
import NFTBackend
import ProxyCore
import TestSupport
import Testing

/// A golden cluster in nftables mode.
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
            configuration, mode: .nftables, family: family, nodeName: node.name, node: node,
            facts: HostFacts(of: node))
    }

    func plans(_ family: IPFamily) -> PlanTable {
        var table = PlanTable()
        _ = table.updateAll(from: state, in: nodePlan(family).context)
        return table
    }

    func planWalk(_ family: IPFamily) -> PlanWalk {
        PlanWalk(
            node: nodePlan(family), plans: plans(family).all, local: local,
            serviceRanges: state.serviceRanges(family))
    }

    func sharedMaps(_ family: IPFamily) -> SharedMapsTable {
        var table = SharedMapsTable(node: nodePlan(family), serviceRanges: state.serviceRanges(family))
        table.update(.init(changed: Array(plans(family).all)))
        return table
    }
}

extension GoldenCase {
    /// The rows of the flows table of nftables mode; none for the clusters that tell pods by their interface.
    ///
    /// Without those of a pod that may reach itself and is spelled otherwise than addresses are printed (`fd00:0::1`):
    /// the tracer that made the tables compared texts, and took it for another.
    func flows(_ family: IPFamily) throws -> [FlowTable.Row] {
        let name = "flows.nftables.\(family == .ipv4 ? "v4" : "v6").tsv"
        guard let bytes = expected(name) else { return [] }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { line in
            let source = String(line.prefix { $0 != "\t" })
            guard let address = IPAddress(source)?.description, address != source else { return true }
            return !line.contains("[\(address)]:")
        }
        return try FlowTable.read(lines.joined(separator: "\n"), name: path(name))
    }

    /// kube-proxy's table.
    func kubeProxyText(_ family: IPFamily) throws -> [UInt8] {
        let name = "nftables.\(family == .ipv4 ? "v4" : "v6").nft"
        return try #require(expected(name), "\(name) is missing")
    }
}
