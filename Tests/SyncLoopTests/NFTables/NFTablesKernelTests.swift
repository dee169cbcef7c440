import Foundation
import NFTBackend
import ProxyCore
import Synchronization
import SystemPackage
import Testing

@testable import BatchApplier
@testable import SyncLoop

/// Tables of nf_tables that others write to as the test says. Ours is never there when it is looked for.
private final class FakeNFTables: NFTablesAccess {
    enum Answer {
        /// Another transaction comes first.
        case rival
        case refused
    }

    struct State {
        var generation: UInt32 = 10
        /// What becomes of the next commits; those after them succeed.
        var answers: [Answer] = []
        /// The generations that were named.
        var commits: [UInt32?] = []
        /// One for each reading: whether the elements were read too.
        var reads: [Bool] = []
    }

    let state = Mutex(State())

    func generation() async throws(NFTablesError) -> UInt32 { state.withLock(\.generation) }

    func commit(_ batch: NFTablesBatch, after generation: UInt32?) async throws(NFTablesError) -> UInt32? {
        let failure: Errno? = state.withLock { state in
            state.commits.append(generation)
            switch state.answers.isEmpty ? nil : state.answers.removeFirst() {
            case .refused: return .noSuchFileOrDirectory
            case .rival: state.generation += 1
            case nil: break
            }
            // ERESTART.
            if let generation, generation != state.generation { return Errno(rawValue: 85) }
            state.generation += 1
            return nil
        }
        if let failure {
            let index = failure == .noSuchFileOrDirectory ? 1 : 0
            throw NFTablesError(NetlinkError(operation: "", errno: failure, index: index), of: batch, alsoRefused: 0)
        }
        return generation.map { $0 + 1 }
    }

    func read<Value: Sendable>(
        _ family: IPFamily, table: String, elementsOf isSetListed: @escaping @Sendable (String) -> Bool,
        into start: Value, _ take: @Sendable (inout Value, NFTablesDump.Message) -> Void
    ) async throws(NFTablesError) -> (generation: UInt32, value: Value)? {
        state.withLock { $0.reads.append(isSetListed("service-ips")) }
        return nil
    }
}

@Suite("NFTablesKernel")
struct NFTablesKernelTests {
    private let tables = FakeNFTables()
    private let table = SharedMapsTable(
        node: NodePlan(
            ProxyConfiguration(), mode: .nftables, family: .ipv4, nodeName: "node1", node: nil,
            facts: HostFacts(of: nil)), serviceRanges: [])
    private let kernel: NFTablesKernel

    init() {
        kernel = NFTablesKernel(
            family: .ipv4, tables: tables, logger: LogKeeper().logger, committed: { [table] in table },
            didCommit: { _ in })
    }

    private func commit(full: Bool = false, _ answers: FakeNFTables.Answer...) async throws(SyncFailure) {
        try await commit(full: full, beside: answers)
    }

    private func commit(full: Bool = false, beside answers: [FakeNFTables.Answer]) async throws(SyncFailure) {
        tables.state.withLock { $0.answers = answers }
        defer { tables.state.withLock { $0.answers = [] } }
        let batch = NFTablesBatch(family: .ipv4, table: "switchyard", bytes: [0, 0, 0, 0], offsets: [0])
        _ = try await kernel.commit(
            SyncWork(
                batches: [batch], isFull: full, touchedServiceCount: 1, servicePortCount: 1, renderDuration: .zero))
    }

    private static let withoutEnd = [FakeNFTables.Answer](repeating: .rival, count: 100)

    /// Whether a look finds that our table is not there, which it does only if it looks for it.
    private func looks() async throws -> Bool { try await !kernel.look().damage.isEmpty }

    @Test("a look where nobody else wrote asks for the generation alone")
    func quiet() async throws {
        #expect(try await !looks())
        try await commit(full: true)
        try await commit()
        #expect(try await !looks())
        #expect(tables.state.withLock(\.commits) == [10, 11])
        #expect(tables.state.withLock(\.reads) == [])
    }

    @Test("who writes after a commit has the next look judge the table, once")
    func afterwards() async throws {
        try await commit(full: true)
        tables.state.withLock { $0.generation += 1 }
        #expect(try await looks())
        #expect(try await !looks())
        #expect(tables.state.withLock(\.reads) == [false])
    }

    @Test("who writes before a change has it repeated, and the next look judge the table, once")
    func before() async throws {
        try await commit(full: true)
        try await commit(.rival, .rival)
        #expect(tables.state.withLock(\.commits) == [10, 11, 12, 13])
        // The generation is the commit's own, and says nothing of what came before.
        #expect(try await looks())
        #expect(try await !looks())
    }

    @Test("a look that is due stays so until it has judged the table")
    func due() async throws {
        try await commit(full: true)
        try await commit(.rival)
        try await commit()
        #expect(try await looks())
    }

    @Test("who wrote before everything is written does not matter: nothing of it is left", arguments: [false, true])
    func beforeEverything(isRepeated: Bool) async throws {
        try await commit(full: true)
        try await commit(.rival)
        try await commit(full: true, beside: isRepeated ? [.rival] : [])
        #expect(try await !looks())
        #expect(tables.state.withLock(\.reads) == [])
    }

    @Test("who writes without a pause holds a change up twenty times; then it is committed all the same, and looked at")
    func withoutPause() async throws {
        try await commit(full: true)
        tables.state.withLock { $0.commits = [] }
        try await commit(beside: Self.withoutEnd)
        let commits = tables.state.withLock(\.commits)
        #expect(commits.count == 21 && commits.dropLast().allSatisfy { $0 != nil })
        #expect(commits.last == .some(nil))
        #expect(try await looks())
        // Whose transaction is the last one is not known, so there is nothing to compare generations with.
        #expect(try await !looks())
        tables.state.withLock { $0.commits = [] }
        try await commit()
        #expect(tables.state.withLock(\.commits).count == 1)
    }

    @Test("everything too is committed at last, and looked at")
    func everythingWithoutPause() async throws {
        try await commit(full: true, beside: Self.withoutEnd)
        #expect(tables.state.withLock(\.commits).last == .some(nil))
        #expect(try await looks())
    }

    @Test("a refused change is no matter for a look: everything is written anew")
    func refused() async throws {
        try await commit(full: true)
        let failure = await #expect(throws: SyncFailure.self) { try await commit(.rival, .refused) }
        #expect(failure?.isRefusal == true)
        #expect(try await !looks())
        try await commit(full: true)
        #expect(try await !looks())
        #expect(tables.state.withLock(\.reads) == [])
    }

    @Test("a check that finds damage leaves a look due")
    func check() async throws {
        try await commit(full: true)
        try await commit(.rival)
        guard case .compared(let damage) = try await kernel.check(table) else {
            Issue.record("nothing was compared")
            return
        }
        #expect(damage.map(\.kind) == ["table"])
        #expect(tables.state.withLock(\.reads) == [true])
        #expect(try await looks())
    }
}
