public import ProxyCore

/// Plans as the table that kube-proxy 1.36 keeps in its nftables mode: chains for every service port, and maps that lead
/// to them.
public enum KubeProxyLayout {
    /// The table of a family and the elements of its sets.
    ///
    /// Equal plans give an equal result, whatever their order.
    ///
    /// - Parameters:
    ///   - node: what was decided about the node, in mode nftables.
    ///   - plans: those of every service port of the node's family.
    ///   - serviceRanges: where cluster IPs are allocated from: those of the node's family count, each once.
    public static func ruleset(
        node: NodePlan, plans: some Sequence<ServicePlan>, serviceRanges: [CIDR]
    ) -> (table: NFTTable, elements: [NFTElement]) {
        let base = KubeProxyBase(node: node, serviceRanges: serviceRanges)
        var services = KubeProxyServices(node: node)
        services.addNodeAddresses()
        for plan in plans.sorted(by: { $0.name < $1.name }) { services.add(plan) }
        let identity = NFTTable.Identity(
            family: node.family, name: NFTablesNames.kubeProxy, comment: "rules for kube-proxy")
        let table = NFTTable(
            identity, chains: base.chains + services.chains, sets: base.sets + services.affinitySets)
        return (table, services.elements.all)
    }
}

/// The names in the table that do not depend on a service.
enum KubeProxyNames {
    // Chains that base chains jump to.
    static let services = "services"
    static let masquerading = "masquerading"
    static let firewallCheck = "firewall-check"
    static let serviceEndpointsCheck = "service-endpoints-check"
    static let nodePortEndpointsCheck = "nodeport-endpoints-check"
    static let clusterIPsCheck = "cluster-ips-check"
    /// What elements go to, as nft has no `reject` for a datum.
    static let reject = "reject-chain"

    static let clusterIPs = "cluster-ips"
    static let nodePortIPs = "nodeport-ips"
    static let hairpinConnections = "hairpin-connections"
    static let firewallIPs = "firewall-ips"
    static let noEndpointServices = "no-endpoint-services"
    static let noEndpointNodePorts = "no-endpoint-nodeports"
    static let serviceIPs = "service-ips"
    static let serviceNodePorts = "service-nodeports"
}
