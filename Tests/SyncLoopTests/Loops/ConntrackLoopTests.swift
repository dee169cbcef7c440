import ProxyCore
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import BatchApplier
@testable import SyncLoop

@Suite("ConntrackLoop")
struct ConntrackLoopTests {
    private let log = LogKeeper()

    /// What there is to say of the port of a destination: who it leads to, by the last part of the address.
    private func query(_ claims: [UInt16: UInt32?], of family: IPFamily = .ipv4) -> FlowQuery {
        let address = IPAddress(ipv4: 1)
        var all: [FlowDestination: FlowQuery.Claim] = [:]
        for (port, endpoint) in claims {
            let claim = endpoint.map { TransportAddress(IPAddress(ipv4: $0), port: 1) }
            all[.address(.init(address, port: port))] = claim.map { .service(endpoints: [$0]) } ?? .nobody
        }
        return FlowQuery(family: family, claims: all)
    }

    private func run(
        _ cleaner: FakeCleaner, refresh: @escaping @Sendable (FlowQuery) async -> FlowQuery = { $0 },
        _ body: (ConntrackLoop) async -> Void
    ) async {
        let loop = ConntrackLoop(
            cleaner: cleaner, retryPause: .milliseconds(20), logger: log.logger, refresh: refresh)
        let task = Task { await loop.run() }
        await body(loop)
        task.cancel()
        await task.value
    }

    @Test("what is asked for while flows are being deleted is done at once afterwards, the latest word counting")
    func merges() async {
        let gate = Latch()
        let cleaner = FakeCleaner { number, _ in if number == 0 { await gate.pass() } }
        await run(cleaner) { loop in
            loop.rulesChanged(query([1: 7]))
            #expect(await eventually { cleaner.queries.count == 1 })
            for number in 1...20 { loop.rulesChanged(query([2: UInt32(number), UInt16(100 + number): nil])) }
            gate.open()
            #expect(await eventually { loop.status?.deleted == 1 && cleaner.queries.count == 2 })
            var all: [UInt16: UInt32?] = [2: 20]
            for number in 1...20 { all.updateValue(nil, forKey: UInt16(100 + number)) }
            #expect(cleaner.queries.last == query(all))
        }
        #expect(cleaner.queries.count == 2)
    }

    @Test("what failed is tried again together with what was asked for since, and told of once")
    func retries() async {
        let (first, both) = (query([1: 7, 2: 7]), query([1: 7, 2: nil]))
        let gate = Latch()
        let cleaner = FakeCleaner { number, _ throws(ConntrackError) in
            if number == 1 { await gate.pass() }
            if number < 3 { throw .failed(NetlinkError(operation: "list", errno: .noBufferSpace)) }
        }
        await run(cleaner) { loop in
            loop.rulesChanged(first)
            #expect(await eventually { cleaner.queries.count == 2 })
            #expect(loop.status?.failure != nil)
            loop.rulesChanged(query([2: nil]))
            gate.open()
            #expect(await eventually { loop.status?.failure == nil && loop.status?.deleted == 1 })
            #expect(cleaner.queries == [first, first, both, both])
        }
        #expect(log.messages.count == 1)
    }

    @Test("a family that fails does not keep the other one from being cleaned")
    func apart() async {
        let cleaner = FakeCleaner { _, query throws(ConntrackError) in
            if query.family == .ipv4 { throw .failed(NetlinkError(operation: "list", errno: .noBufferSpace)) }
        }
        let loop = ConntrackLoop(cleaner: cleaner, retryPause: .seconds(3600), logger: log.logger) { $0 }
        let task = Task { await loop.run() }
        loop.rulesChanged(query([1: 7], of: .ipv4))
        #expect(await eventually { loop.status?.failure != nil })
        loop.rulesChanged(query([1: 7], of: .ipv6))
        #expect(await eventually { loop.status?.deleted == 1 })
        // The other family's failure stands.
        #expect(loop.status?.failure != nil)
        task.cancel()
        await task.value
    }

    @Test("a kernel that tracks no connections is told of once and not asked again", arguments: 0..<20)
    func unavailable(_: Int) async {
        let cleaner = FakeCleaner { _, _ throws(ConntrackError) in throw .unavailable(.notSupported) }
        await run(cleaner) { loop in
            for _ in 0..<3 {
                loop.rulesChanged(query([1: 7], of: .ipv4))
                loop.rulesChanged(query([1: 7], of: .ipv6))
            }
            #expect(await eventually { loop.status?.failure != nil })
            let asked = cleaner.queries.count
            for _ in 0..<3 {
                loop.rulesChanged(query([1: 7], of: .ipv4))
                loop.rulesChanged(query([1: 7], of: .ipv6))
            }
            try? await Task.sleep(for: .milliseconds(10))
            // Each family may have been under way when the answer came.
            #expect(asked <= 2 && cleaner.queries.count <= 2)
        }
        #expect(log.messages.count == 1)
    }

    @Test("a query is brought up to date just before it is used, when it has waited too")
    func refreshes() async {
        let now = Mutex<UInt32>(1)
        let cleaner = FakeCleaner { number, _ throws(ConntrackError) in
            now.withLock { $0 += 1 }
            if number == 0 { throw .failed(NetlinkError(operation: "list", errno: .noBufferSpace)) }
        }
        let queries = (1...2).map { query([1: $0]) }
        await run(cleaner, refresh: { _ in queries[Int(now.withLock(\.self)) - 1] }) { loop in
            loop.rulesChanged(query([1: 7]))
            #expect(await eventually { loop.status?.deleted == 1 })
            #expect(cleaner.queries == queries)
        }
    }
}

/// Deletes one flow for each query, unless the test says otherwise.
private final class FakeCleaner: FlowCleaner {
    typealias Act = @Sendable (_ number: Int, FlowQuery) async throws(ConntrackError) -> Void

    private let taken = Mutex<[FlowQuery]>([])
    private let act: Act

    init(_ act: @escaping Act) { self.act = act }

    var queries: [FlowQuery] { taken.withLock(\.self) }

    func clean(_ query: FlowQuery) async throws(ConntrackError) -> ConntrackCleaner.Report {
        let number = taken.withLock { taken in
            taken.append(query)
            return taken.count - 1
        }
        try await act(number, query)
        return ConntrackCleaner.Report(deleted: 1)
    }
}
