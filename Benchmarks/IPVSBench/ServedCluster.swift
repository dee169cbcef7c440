import BatchApplier
import BenchSupport
import IPVSBackend
import ProxyCore
import TestSupport

/// A cluster of plain services with ten endpoints each, whose virtual servers are kept in the kernel as the daemon keeps
/// them.
struct ServedCluster {
    let objects: LargeCluster
    let committer: IPVSCommitter
    private let node: NodePlan
    private var state = ClusterState()
    private var plans = PlanTable()
    private(set) var table: IPVSTable

    /// What one sync took, in milliseconds.
    struct Times {
        /// From changed objects to the batch.
        var ours: Double
        /// Looking at endpoints that are to go once they have no connections.
        var look: Double
        var kernel: Double
        var together: Double { ours + look + kernel }
    }

    init(services: Int) async throws {
        // A namespace without any route takes no address for a real server's.
        try Command.require(["ip", "link", "set", "lo", "up"])
        let tools = try await IPTablesTools.find(.ipv4, .legacy)
        committer = IPVSCommitter(tools: tools)
        objects = LargeCluster(services: services, endpointsEach: 10)
        var configuration = ProxyConfiguration()
        configuration.clusterCIDRs = [CIDR("10.0.0.0/8")].compactMap(\.self)
        let facts = HostFacts(of: nil)
        node = NodePlan(configuration, mode: .ipvs, family: .ipv4, nodeName: "node-1", node: nil, facts: facts)
        table = IPVSTable(IPVSSettings(node, configuration.ipvs, facts: facts))
        for change in objects.changes { state.apply(change) }
    }

    /// Plans everything that was not planned yet.
    mutating func plan() -> PlanTable.Changes { plans.update(state.takeTouched(), from: state, in: node.context) }

    mutating func update(_ changes: PlanTable.Changes) { table.update(changes) }

    mutating func nextBatch() throws -> IPVSBatch {
        guard let batch = table.nextBatch() else { throw Failure("nothing is to be committed") }
        return batch
    }

    func list() async throws -> IPVSKernelState { try await committer.list(.ipv4) }

    /// Commits a batch that the kernel must take as a whole.
    func commit(_ batch: IPVSBatch) async throws {
        let report = try await committer.commit(batch)
        if let problem = report.refusals.first?.sentence ?? report.warnings.first { throw Failure(problem) }
    }

    /// Commits everything to a kernel that is listed first.
    mutating func commitAll() async throws {
        update(plan())
        table.takeOver(.everything(try await list()))
        try await commit(try nextBatch())
        table.didCommit()
    }

    /// What the daemon does in a sync, from changed objects to the end of the commit.
    mutating func sync(_ changes: [ObjectChange]) async throws -> Times {
        let start = ContinuousClock.now
        let keys = table.serversToLookAt
        let seen = keys.isEmpty ? nil : try await committer.look(at: keys)
        let looked = ContinuousClock.now
        for change in changes { state.apply(change) }
        update(plan())
        if let seen { table.takeOver(.servers(seen)) }
        let batch = try nextBatch()
        let planned = ContinuousClock.now
        try await commit(batch)
        let committed = ContinuousClock.now
        table.didCommit()
        return Times(
            ours: (planned - looked).inMilliseconds, look: (looked - start).inMilliseconds,
            kernel: (committed - planned).inMilliseconds)
    }

    /// Fails unless the kernel has what the table has.
    func check() async throws {
        let found = try await list()
        if let difference = table.differences(from: found).first { throw Failure("the kernel differs: \(difference)") }
    }
}
