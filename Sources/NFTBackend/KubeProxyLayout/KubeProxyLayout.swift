public import ProxyCore

/// The table of kube-proxy's nftables mode, as version 1.36 spells it: for comparison, and for people who rely on its
/// names. Each service has chains and sets of its own, for which the kernel takes time in proportion to the square of
/// their number.
public enum KubeProxyLayout {
    /// The whole table.
    ///
    /// - Parameters:
    ///   - plans: in any order.
    ///   - serviceRanges: the cluster's ranges of cluster IPs in the family.
    public static func ruleset(
        node: NodePlan, plans: some Sequence<ServicePlan>, serviceRanges: [CIDR]
    ) -> (table: NFTTable, elements: [NFTElement]) {
        var builder = Builder(node: node)
        for plan in plans.sorted(by: { $0.name < $1.name }) { builder.add(plan) }
        let identity = NFTTable.Identity(
            family: node.family, name: NFTablesNames.kubeProxy, comment: "rules for kube-proxy")
        let shared = SharedChains(node: node, serviceRanges: serviceRanges)
        let table = NFTTable(identity, chains: shared.chains + builder.chains, sets: shared.sets + builder.sets)
        return (table, shared.elements + builder.elements)
    }

    /// Puts the services in one after the other.
    private struct Builder {
        let node: NodePlan
        var chains: [NFTChain] = []
        var sets: [NFTSet] = []
        /// The elements of each set in the order in which they came; of two with one key the later counts.
        private var elementsOfSets: [String: [NFTElement]] = [:]
        private var places: [ElementKey: Int] = [:]

        private struct ElementKey: Hashable {
            var set: String
            var key: [NFTValue]
        }

        init(node: NodePlan) {
            self.node = node
        }

        var elements: [NFTElement] { elementsOfSets.sorted { $0.key < $1.key }.flatMap(\.value) }

        private mutating func add(_ element: NFTElement) {
            let key = ElementKey(set: element.set, key: element.key)
            if let place = places[key] {
                elementsOfSets[element.set]?[place] = element
            } else {
                places[key] = elementsOfSets[element.set]?.count ?? 0
                elementsOfSets[element.set, default: []].append(element)
            }
        }

        mutating func add(_ plan: ServicePlan) {
            let service = ServiceChains(plan: plan, node: node)
            chains += service.chains
            sets += service.sets
            for element in service.elements { add(element) }
        }
    }
}
