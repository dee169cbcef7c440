import Foundation
import ProxyCore
import Synchronization
import TestSupport
import Testing

@testable import BatchApplier
@testable import SyncLoop

@Suite("FamilyLoop")
struct FamilyLoopTests {
    private let lab = LoopLab()

    /// Runs loops while the body does, and then until their last commit has ended.
    private func run(_ loops: FamilyLoop<IPTablesKernel>..., while body: () async throws -> Void) async rethrows {
        let tasks = loops.map { loop in Task { await loop.run() } }
        defer { tasks.forEach { $0.cancel() } }
        try await body()
    }

    @Test("nothing is committed before Services and EndpointSlices have both arrived")
    func waitsForObjects() async {
        let tables = FakeTables()
        let loop = await lab.loop(.ipv4, tables)
        await run(loop) {
            for change in udpObjects("a", "172.30.0.1", ["10.0.0.1"]) { await lab.take(change) }
            await lab.model.take(.complete(.service))
            try? await Task.sleep(for: .milliseconds(50))
            #expect(tables.batches.isEmpty)
            await lab.complete()
            #expect(await eventually { lab.queries.count == 1 })
            #expect(tables.batches.count == 1)
            #expect(tables.batches.first?.serves("172.30.0.1") == true)
        }
    }

    @Test("a change during a commit is committed next, by a batch of its own")
    func changeDuringCommit() async {
        let lab = lab
        let tables = FakeTables { number, _ in
            guard number == 0 else { return }
            for change in udpObjects("b", "172.30.0.2", ["10.0.0.2"]) { await lab.take(change) }
        }
        let loop = await lab.loop(.ipv4, tables)
        for change in udpObjects("a", "172.30.0.1", ["10.0.0.1"]) { await lab.take(change) }
        await lab.complete()
        await run(loop) {
            #expect(await eventually { await loop.status.lastSync?.kind == .partial })
            #expect(tables.batches.map(\.isFull) == [true, false])
            #expect(tables.batches.map { $0.serves("172.30.0.2") } == [false, true])
            #expect(await loop.currentStatus().pendingChanges == nil)
        }
    }

    @Test("a commit that failed puts nothing aside: the next has it, and only that one lets flows be looked at")
    func failure() async throws {
        let tables = FakeTables { number, _ throws(IPTablesError) in
            if number == 0 || number == 2 { throw .fake(.timedOut) }
        }
        let loop = await lab.loop(.ipv4, tables)
        for change in udpObjects("a", "172.30.0.1", ["10.0.0.1"]) { await lab.take(change) }
        await lab.complete()
        try await run(loop) {
            #expect(await eventually { await loop.status.lastFailure != nil })
            #expect(lab.queries.isEmpty)
            #expect(await eventually { lab.queries.count == 1 })
            await lab.take(udpEndpoints("a", ["10.0.0.2"]))
            #expect(await eventually { lab.queries.count == 2 })
            #expect(tables.batches.map(\.isFull) == [true, true, false, true])
            let query = try #require(lab.queries.last)
            #expect(!query.isFull)
            let destination = TransportAddress(try #require(IPAddress("172.30.0.1")), port: 53)
            let endpoint = TransportAddress(try #require(IPAddress("10.0.0.2")), port: 5353)
            #expect(query.claims == [.address(destination): .service(endpoints: [endpoint])])
            #expect(String(decoding: tables.batches[3].text, as: UTF8.self).contains("10.0.0.2:5353"))
        }
    }

    @Test("a refused change is followed by everything without a pause, and a second refusal by one")
    func refusal() async throws {
        let gate = Latch()
        let tables = FakeTables { number, _ throws(IPTablesError) in
            if number == 2 { await gate.pass() }
            if number == 1 || number == 2 { throw .fake(.refused) }
        }
        let loop = await lab.loop(.ipv4, tables)
        await lab.complete()
        try await run(loop) {
            #expect(await eventually { lab.queries.count == 1 })
            for change in udpObjects("a", "172.30.0.1", ["10.0.0.1"]) { await lab.take(change) }
            #expect(await eventually { tables.batches.count == 3 })
            #expect(tables.batches.map(\.isFull) == [true, false, true])
            let first = await loop.status
            // The pause of a failure would be most of a second.
            let pause = try #require(first.retryAt).timeIntervalSince(try #require(first.lastFailure).at)
            #expect(pause < 0.5)
            gate.open()
            #expect(await eventually { await loop.status.lastFailure != first.lastFailure })
            let second = await loop.status
            let longer = try #require(second.retryAt).timeIntervalSince(try #require(second.lastFailure).at)
            #expect(longer > 0.5)
        }
    }

    @Test("where the kernel has nothing, the essential services come first", arguments: [true, false])
    func essential(_ isKernelBare: Bool) async {
        let tables = FakeTables()
        let loop = await lab.loop(.ipv4, tables, isKernelBare: isKernelBare)
        for change in udpObjects("kubernetes", "172.30.255.1", ["10.9.9.9"], in: "default") { await lab.take(change) }
        // So many that everything takes a while.
        for number in 0..<600 {
            let address = "172.30.\(number / 200).\(number % 200 + 1)"
            for change in udpObjects("s\(number)", address, ["10.0.0.1"]) { await lab.take(change) }
        }
        await lab.complete()
        await run(loop) {
            #expect(await eventually { lab.queries.count == 1 })
            let batches = tables.batches
            #expect(batches.count > 2)
            #expect(batches.last?.isFull == true)
            #expect(batches.last?.serves("172.30.0.1") == true)
            #expect(batches.first?.serves("172.30.255.1") == isKernelBare)
            #expect(batches.first?.jumps.isEmpty == !isKernelBare)
            #expect(batches.first?.serves("172.30.0.1") == false)
            #expect(batches.dropLast().allSatisfy { !$0.isFull })
        }
    }

    @Test("a family whose commit hangs does not keep the other one waiting")
    func apart() async {
        let gate = Latch()
        let hanging = FakeTables { _, _ in await gate.pass() }
        let tables = FakeTables()
        let first = await lab.loop(.ipv4, hanging)
        let second = await lab.loop(.ipv6, tables)
        await lab.complete()
        await run(first, second) {
            #expect(await eventually { lab.queries.map(\.family) == [.ipv6] })
            for change in udpObjects("a", "172.30.0.1", []) { await lab.take(change) }
            #expect(await eventually { lab.queries.map(\.family) == [.ipv6, .ipv6] })
            #expect(hanging.batches.count == 1)
            gate.open()
            #expect(await eventually { hanging.batches.last?.serves("172.30.0.1") == true })
        }
    }

    @Test("a commit that has begun is ended before the loop ends")
    func endsCommit() async {
        let gate = Latch()
        let tables = FakeTables { _, _ in await gate.pass() }
        let loop = await lab.loop(.ipv4, tables)
        await lab.complete()
        let end = Latch()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await loop.run()
                end.open()
            }
            #expect(await eventually { tables.batches.count == 1 })
            group.cancelAll()
            try? await Task.sleep(for: .milliseconds(50))
            #expect(!end.isOpen)
            gate.open()
        }
        #expect(await loop.status.lastSync != nil)
    }

    @Test("a range that services get addresses from, arriving late, has all flows looked at again")
    func lateRange() async throws {
        let tables = FakeTables()
        let loop = await lab.loop(.ipv4, tables)
        await lab.complete()
        try await run(loop) {
            #expect(await eventually { lab.queries.count == 1 })
            let range = try #require(CIDR("172.30.0.0/16"))
            await lab.take(.serviceCIDR(ServiceCIDR(name: "kubernetes", cidrs: [range])))
            #expect(await eventually { lab.queries.count == 2 })
            #expect(lab.queries.last?.isFull == true)
            #expect(lab.queries.last?.serviceRanges == [range])
            #expect(tables.batches.count == 1)
            await lab.take(.serviceCIDR(ServiceCIDR(name: "kubernetes", cidrs: [range])))
            try? await Task.sleep(for: .milliseconds(50))
            #expect(lab.queries.count == 2)
        }
    }

    @Test("what somebody else takes away is put back by one sync in full")
    func mends() async {
        let watch = FakeWatch()
        let tables = FakeTables { _, _ in watch.flush(false) }
        let loop = await lab.loop(.ipv4, tables, watch: watch)
        await lab.complete()
        await run(loop) {
            #expect(await eventually { lab.queries.count == 1 })
            watch.flush(true)
            #expect(await eventually { tables.batches.count == 2 })
            #expect(tables.batches.map(\.isFull) == [true, true])
            #expect(await eventually { await loop.status.drift.mended["table"] == 2 })
            try? await Task.sleep(for: .milliseconds(700))
            #expect(tables.batches.count == 2)
        }
    }
}

/// Tables that are either whole or gone.
private final class FakeWatch: ForeignChangeWatch {
    private let state = Mutex((generation: UInt32(1), isFlushed: false))

    func flush(_ isFlushed: Bool) {
        state.withLock { $0 = ($0.generation + 1, isFlushed) }
    }

    func generation() async throws(NetlinkError) -> UInt32 { state.withLock(\.generation) }

    func look(for expected: NFTablesExpectation) async throws(NetlinkError) -> NFTablesSnapshot {
        let (generation, isFlushed) = state.withLock(\.self)
        var snapshot = NFTablesSnapshot(generation: generation)
        guard !isFlushed else { return snapshot }
        for table in expected.tables { snapshot.tables[table] = .init(handle: 1, use: 1) }
        for chain in expected.chains { snapshot.chains[chain] = .init(handle: 1, use: 1000) }
        for jump in expected.jumps {
            snapshot.jumps[.init(table: jump.table, chain: jump.chain, target: jump.target)] = 1
        }
        return snapshot
    }

    func missingChains(
        of names: Set<String>, in table: IPTablesBatch.TableName, _ family: IPFamily
    ) async throws(NetlinkError) -> Set<String> { [] }
}
