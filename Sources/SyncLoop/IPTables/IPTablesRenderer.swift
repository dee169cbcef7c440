import ChainRenderer
import ProxyCore

/// iptables mode, the pure part.
struct IPTablesRenderer: FamilyRenderer {
    private var rules: IPTablesRules
    /// How many chains one input may declare.
    private let chainLimit: Int

    init(node: NodePlan, options: IPTablesRules.Options, chainLimit: Int) {
        rules = IPTablesRules(node: node, options: options)
        self.chainLimit = chainLimit
    }

    var node: NodePlan { rules.node }
    var servicePortCount: Int { rules.servicePortCount }
    var isEverythingPending: Bool { rules.isEverythingPending }

    mutating func update(_ touched: some Sequence<ObjectName>, from state: ClusterState) {
        rules.update(touched, from: state)
    }

    mutating func update(_ node: NodePlan, _ facts: HostFacts, from state: ClusterState) {
        rules.update(node, from: state)
    }

    mutating func nextBatches() -> [IPTablesBatch] { rules.nextBatches(chainLimit: chainLimit) }
    func essentialBatch() -> IPTablesBatch? { rules.essentialBatch() }
    mutating func didCommit(without refusals: [Never]) { rules.didCommit() }
    mutating func didFail() { rules.didFail() }

    mutating func audit() -> RuleAudit? { rules.audit(leavesGuardToKubelet: true) }

    /// The chains of all services in table nat.
    var serviceChainNames: Set<String> { rules.serviceChainNames }
}
