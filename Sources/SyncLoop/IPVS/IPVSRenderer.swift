import IPVSBackend
import ProxyCore

/// ipvs mode, the pure part.
struct IPVSRenderer: FamilyRenderer {
    private var plans = PlanTable()
    private var table: IPVSTable
    private(set) var node: NodePlan
    private let configuration: ProxyConfiguration.IPVS
    private let drainTimeout: Duration?

    /// - Parameter drainTimeout: after which time an endpoint that goes is deleted though it has connections; nil waits
    ///   for their end.
    init(node: NodePlan, _ facts: HostFacts, _ configuration: ProxyConfiguration.IPVS, drainTimeout: Duration?) {
        self.node = node
        self.configuration = configuration
        self.drainTimeout = drainTimeout
        table = IPVSTable(IPVSSettings(node, configuration, facts: facts, drainTimeout: drainTimeout))
    }

    var servicePortCount: Int { table.servicePortCount }
    var isEverythingPending: Bool { table.isEverythingPending }

    mutating func update(_ touched: some Sequence<ObjectName>, from state: ClusterState) {
        table.update(plans.update(touched, from: state, in: node.context))
    }

    mutating func update(_ node: NodePlan, _ facts: HostFacts, from state: ClusterState) {
        let isContextChanged = node.context != self.node.context
        self.node = node
        if isContextChanged { table.update(plans.updateAll(from: state, in: node.context)) }
        let settings = IPVSSettings(node, configuration, facts: facts, drainTimeout: drainTimeout)
        table.update(settings, plans: plans.all)
    }

    mutating func takeOver(_ finding: IPVSFinding) { table.takeOver(finding) }

    mutating func nextBatches() -> [IPVSBatch] { table.nextBatch().map { [$0] } ?? [] }

    /// The first batch of 1,000 services takes a tenth of a second: nothing is gained by two.
    func essentialBatch() -> IPVSBatch? { nil }

    mutating func didCommit(without refusals: [IPVSRefusal]) { table.didCommit(without: refusals) }
    mutating func didFail() { table.didFail() }

    func audit() -> IPVSTable? { isEverythingPending || table.hasChanges ? nil : table }

    var leftoversEndAfter: Duration? { table.nextLook }
    var refusals: [String] { table.refused.map(\.sentence) }
    var drainingCount: Int { table.drainingCount }
    var serversToLookAt: Set<VirtualServer.Key> { table.serversToLookAt }
    /// The addresses of services that the node has on other devices, where they stay.
    var addressesElsewhere: [IPAddress: ServicePortName] { table.addressesElsewhere }
}
