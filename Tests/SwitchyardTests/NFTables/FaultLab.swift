import BatchApplier
import Logging
import NFTBackend
import ProxyCore
import TestSupport

@testable import SyncLoop

/// What the daemon's loop works with in nftables mode, in a namespace and step by step.
final class FaultLab: Sendable {
    let namespace: Namespace
    let peer: NFTablesPeer
    let tables: PeerTables
    private let model: ClusterModel<NFTablesRenderer>
    private let kernel: NFTablesKernel

    init(receiveBuffer: Int? = nil, sendBuffer: Int? = nil) async throws {
        namespace = try Namespace()
        peer = try NFTablesPeer(in: namespace, receiveBuffer: receiveBuffer, sendBuffer: sendBuffer)
        tables = PeerTables(peer)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let model = ClusterModel<NFTablesRenderer>(
            .init(configuration: ProxyConfiguration(), mode: .nftables, nodeName: "node1", nodeGrace: .zero),
            logger: logger)
        self.model = model
        kernel = NFTablesKernel(
            family: .ipv4, tables: tables, logger: logger, committed: { await model.audit(.ipv4) }, didCommit: { _ in })
        await model.add(
            .ipv4, facts: HostFacts(of: nil),
            makeRules: { node, _ in NFTablesRenderer(node: node, options: .init()) }, wakeUp: {})
    }

    func take(_ changes: some Sequence<ObjectChange>) async {
        await model.take(.changes(Array(changes), receivedAt: .now))
    }

    /// One sync, as the loop makes it.
    func sync(full: Bool = false) async throws(SyncFailure) {
        let isEverythingPending = await model.isEverythingPending(.ipv4)
        let predecessor = await kernel.finding(everything: full || isEverythingPending)
        guard let work = await model.beginSync(.ipv4, full: full, over: predecessor) else { return }
        do throws(SyncFailure) {
            if !work.batches.isEmpty { _ = try await kernel.commit(work) }
        } catch {
            await model.syncFailed(.ipv4)
            throw error
        }
        _ = await model.syncEnded(.ipv4, without: [])
    }

    /// The failure of a sync that must fail.
    func failingSync() async -> SyncFailure? {
        do throws(SyncFailure) {
            try await sync()
            return nil
        } catch {
            return error
        }
    }

    func look() async throws -> [Damage] { try await kernel.look().damage }

    /// Looks at what others did, and has a loss mended as the loop does. Returns what was lost.
    func lookAndMend() async throws -> [Damage] {
        let damage = try await look()
        if !damage.isEmpty { try await sync(full: true) }
        return damage
    }

    /// Runs nft in the namespace.
    func nft(_ command: String) throws {
        try namespace.require(["nft", command])
    }

    /// Our table; nil where it is not there.
    func table() async throws -> NFTKernelTable? {
        try await peer.read(.ipv4, table: NFTablesNames.sharedMaps).map {
            NFTKernelTable(.ipv4, table: NFTablesNames.sharedMaps, messages: $0.messages)
        }
    }

    func contents() async throws -> TableContents? { try await table().map(TableContents.init) }

    /// What the kernel has and should not have, or the other way round; empty if the last sync has done all.
    func differences() async throws -> [String] {
        guard let audit = await model.audit(.ipv4) else { return ["nothing is committed"] }
        guard let table = try await table() else { return ["no table"] }
        return audit.differences(from: table).map(\.description)
    }
}

/// A transaction of another program, of a table that is not ours.
func foreignTransaction(_ peer: NFTablesPeer) async throws {
    let table = NFTTable.Identity(family: .ipv4, name: "others", comment: nil)
    try await peer.commit(NFTablesBatch(NFTTransaction(table, [.addTable, .deleteTable(name: table.name)])))
}

/// Services with session affinity: each has chains of its own.
func affinityServices(_ numbers: Range<Int>) -> [ObjectChange] {
    let cluster = LargeCluster(services: numbers.upperBound, endpointsEach: 2)
    return numbers.flatMap { number -> [ObjectChange] in
        var service = cluster.service(number)
        service.affinitySeconds = 60
        return [.service(service), .endpointSlice(cluster.slice(number))]
    }
}
