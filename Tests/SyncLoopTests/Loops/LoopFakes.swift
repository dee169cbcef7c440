import ChainRenderer
import Foundation
import Logging
import ProxyCore
import Synchronization
import TestSupport

@testable import BatchApplier
@testable import SyncLoop

/// Waits until a condition holds; false if it does not in time.
///
/// It also looks a thousand times before it gives up: while other tests hold every thread of the pool, a look takes long, and so
/// does all that the loops do.
func eventually(_ condition: () async -> Bool) async -> Bool {
    let end = ContinuousClock.now + .seconds(20)
    var looks = 0
    while await !condition() {
        guard ContinuousClock.now < end || looks < 1000 else { return false }
        looks += 1
        try? await Task.sleep(for: .milliseconds(5))
    }
    return true
}

/// What somebody waits for until it is opened.
final class Latch: Sendable {
    private let state = Mutex(false)

    var isOpen: Bool { state.withLock(\.self) }

    func open() { state.withLock { $0 = true } }

    func pass() async {
        while !isOpen {
            // Not ended by cancellation, as a commit is not.
            await Task { try? await Task.sleep(for: .milliseconds(2)) }.value
        }
    }
}

/// Keeps the messages of warnings and errors.
final class LogKeeper: Sendable {
    private let kept = Mutex<[String]>([])

    var messages: [String] { kept.withLock(\.self) }
    var logger: Logger { Logger(label: "test") { _ in Handler(keeper: self) } }

    private struct Handler: LogHandler {
        let keeper: LogKeeper
        var logLevel = Logger.Level.warning
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            keeper.kept.withLock { $0.append(event.message.description) }
        }
    }
}

/// Tables that take every batch, unless the test says otherwise.
final class FakeTables: KernelTables {
    /// What becomes of a batch; its number counts from 0.
    typealias Act = @Sendable (_ number: Int, IPTablesBatch) async throws(IPTablesError) -> Void

    private let taken = Mutex<[IPTablesBatch]>([])
    private let act: Act

    init(_ act: @escaping Act = { _, _ in }) { self.act = act }

    /// Those that were given, the refused ones included.
    var batches: [IPTablesBatch] { taken.withLock(\.self) }

    func apply(_ batch: IPTablesBatch) async throws(IPTablesError) -> IPTablesReport {
        let number = taken.withLock { taken in
            taken.append(batch)
            return taken.count - 1
        }
        try await act(number, batch)
        return IPTablesReport(
            variant: .nft, insertedJumps: [], movedJumps: [], reducedJumps: [], removedChains: [], attempts: 1,
            warnings: [])
    }

    func save<Value: Sendable>(
        _ tables: [IPTablesBatch.TableName], into start: Value,
        _ take: @escaping @Sendable (inout Value, [UInt8]) -> Void
    ) async throws(IPTablesError) -> Value { start }
}

extension IPTablesError {
    static func fake(_ kind: Kind) -> IPTablesError {
        IPTablesError(kind: kind, operation: "commit", family: .ipv4, variant: .nft)
    }
}

extension IPTablesBatch {
    var isFull: Bool { !ownedChainPrefixes.isEmpty }

    /// True if a Service's cluster IP has a rule in it.
    func serves(_ clusterIP: String) -> Bool {
        String(decoding: text, as: UTF8.self).contains(" -d \(clusterIP) ")
    }
}

/// A cluster without a kernel, and the loops of its families.
final class LoopLab: Sendable {
    let model: ClusterModel<IPTablesRenderer>
    let log = LogKeeper()
    private let asked = Mutex<[FlowQuery]>([])

    init() {
        model = ClusterModel(
            .init(configuration: ProxyConfiguration(), mode: .iptables, nodeName: "node1", nodeGrace: .zero),
            logger: log.logger)
    }

    /// The queries that successful syncs have led to.
    var queries: [FlowQuery] { asked.withLock(\.self) }

    func loop(
        _ family: IPFamily = .ipv4, _ tables: FakeTables, watch: (any ForeignChangeWatch)? = nil,
        isKernelBare: Bool = false
    ) async -> FamilyLoop<IPTablesKernel> {
        let kernel = IPTablesKernel(
            family: family, tables: tables, watch: watch, isBare: isKernelBare, logger: log.logger,
            serviceChains: { [model] in await model.read(family) { $0.serviceChainNames } ?? [] })
        let loop = FamilyLoop(
            family: family, model: model, kernel: kernel, periods: .init(minSync: .zero, sync: .seconds(3600)),
            logger: log.logger, didSync: { [self] query in asked.withLock { $0.append(query) } })
        let facts = HostFacts(addresses: [], conntrackIsLiberal: false, masqueradesRandomly: true)
        await model.add(
            family, facts: facts,
            makeRules: { node, _ in
                IPTablesRenderer(node: node, options: .init(), chainLimit: IPTablesVariant.nft.chainLimit)
            },
            wakeUp: { loop.wakeUp.raise() })
        return loop
    }

    func take(_ changes: ObjectChange...) async {
        await model.take(.changes(changes, receivedAt: .now))
    }

    /// Says that everything has arrived.
    func complete() async {
        for kind in ObjectKind.allCases { await model.take(.complete(kind)) }
    }
}

/// A Service with a UDP port and its endpoints, as changes.
func udpObjects(
    _ name: String, _ clusterIP: String, _ endpoints: [String], in namespace: String = "ns"
) -> [ObjectChange] {
    var service = Service(name: .valid(namespace, name))
    service.clusterIPs = [clusterIP, "fd00::\(clusterIP.split(separator: ".").last ?? "1")"].compactMap(IPAddress.init)
    service.ports = [.init(name: "", protocol: .udp, number: 53)]
    return [.service(service), udpEndpoints(name, endpoints, in: namespace)]
}

func udpEndpoints(_ name: String, _ endpoints: [String], in namespace: String = "ns") -> ObjectChange {
    var slice = EndpointSlice(name: .valid(namespace, name), service: .valid(namespace, name), family: .ipv4)
    slice.ports = [.init(name: "", protocol: .udp, number: 5353)]
    slice.endpoints = endpoints.compactMap { IPAddress($0) }.map { .init(address: $0) }
    return .endpointSlice(slice)
}
