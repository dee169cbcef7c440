import NFTBackend
import ProxyCore
import TestSupport

/// A cluster of plain services with ten endpoints each, and the plans of its services.
struct PlannedCluster {
    let objects: LargeCluster
    let node: NodePlan
    private(set) var state = ClusterState()
    private var plans = PlanTable()

    /// Where the cluster IPs are from.
    static let serviceRanges = [CIDR("172.30.0.0/16")].compactMap(\.self)

    init(services: Int, mode: ProxyMode = .nftables) {
        objects = LargeCluster(services: services, endpointsEach: 10)
        var configuration = ProxyConfiguration()
        configuration.clusterCIDRs = [CIDR("10.0.0.0/8")].compactMap(\.self)
        node = NodePlan(
            configuration, mode: mode, family: .ipv4, nodeName: "node-1", node: nil, facts: HostFacts(of: nil))
        _ = take(objects.changes)
    }

    /// Plans anew what these changes concern.
    mutating func take(_ changes: some Sequence<ObjectChange>) -> PlanTable.Changes {
        for change in changes { state.apply(change) }
        return plans.update(state.takeTouched(), from: state, in: node.context)
    }

    /// Plans everything anew, in vain.
    func planAll() {
        var plans = PlanTable()
        _ = plans.update(state.services.keys, from: state, in: node.context)
    }

    var all: [ServicePlan] { Array(plans.all) }

    var emptyTable: SharedMapsTable { SharedMapsTable(node: node, serviceRanges: Self.serviceRanges) }

    /// What `nft -f` reads of our own layout.
    var sharedMapsText: [UInt8] {
        var table = emptyTable
        table.update(.init(changed: all))
        let (structure, elements) = table.ruleset()
        return Self.text(structure, elements)
    }

    /// What `nft -f` reads of the layout of kube-proxy.
    var kubeProxyText: [UInt8] {
        let (structure, elements) = KubeProxyLayout.ruleset(
            node: node, plans: plans.all, serviceRanges: Self.serviceRanges)
        return Self.text(structure, elements)
    }

    private static func text(_ table: NFTTable, _ elements: [NFTElement]) -> [UInt8] {
        var writer = NFTTextWriter()
        writer.write(table, elements: elements)
        return writer.text
    }
}
