import NFTBackend
import ProxyCore

/// nftables mode in the layout of shared maps, the pure part.
struct NFTablesRenderer: FamilyRenderer {
    private var plans = PlanTable()
    private var table: SharedMapsTable
    private(set) var node: NodePlan
    private(set) var isEverythingPending = true
    /// True between asking for a batch and telling what became of it.
    private var isAwaitingCommit = false

    init(node: NodePlan, options: SharedMapsTable.Options) {
        self.node = node
        table = SharedMapsTable(node: node, serviceRanges: [], options: options)
    }

    var servicePortCount: Int { table.servicePortCount }

    mutating func update(_ touched: some Sequence<ObjectName>, from state: ClusterState) {
        table.update(plans.update(touched, from: state, in: node.context))
    }

    mutating func update(_ node: NodePlan, _ facts: HostFacts, from state: ClusterState) {
        let isContextChanged = node.context != self.node.context
        self.node = node
        table.update(node, serviceRanges: state.serviceRanges(node.family))
        if isContextChanged { table.update(plans.updateAll(from: state, in: node.context)) }
    }

    mutating func takeOver(_ finding: NFTKernelTable) { table.takeOver(finding) }

    /// What each service port's counter says in the table that the kernel has.
    func counts(in found: NFTKernelTable) -> [(service: ServicePortName, counter: NFTCounter)] {
        table.counts(in: found)
    }

    mutating func nextBatches() -> [NFTablesBatch] {
        let transaction = table.nextTransaction() ?? table.cleanUp(now: .now)
        isAwaitingCommit = transaction != nil
        return transaction.map { [NFTablesBatch($0)] } ?? []
    }

    /// A transaction of everything takes the kernel half a second for 10,000 services: nothing is gained by more.
    func essentialBatch() -> NFTablesBatch? { nil }

    mutating func didCommit(without refusals: [Never]) {
        if isAwaitingCommit { table.didCommit(at: .now) }
        isAwaitingCommit = false
        isEverythingPending = false
    }

    mutating func didFail() {
        table.didFail()
        isAwaitingCommit = false
        isEverythingPending = true
    }

    func audit() -> SharedMapsTable? { isEverythingPending || table.hasChanges ? nil : table }

    var leftoversEndAfter: Duration? { table.hasLeftovers ? .milliseconds(1100) : nil }
}
