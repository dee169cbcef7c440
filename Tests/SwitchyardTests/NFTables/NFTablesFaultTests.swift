import BatchApplier
import NFTBackend
import ProxyCore
import SystemPackage
import TestSupport
import Testing

@testable import SyncLoop

/// Faults of the kernel and of other programs in the middle of a sync.
@Suite("Faults in nftables mode", .serialized, .kernel("nft"))
struct NFTablesFaultTests {
    /// A few services, committed.
    private func smallLab() async throws -> FaultLab {
        let lab = try await FaultLab()
        await lab.take(LargeCluster(services: 3, endpointsEach: 2).changes)
        await lab.take(affinityServices(3..<5))
        try await lab.sync()
        #expect(try await lab.differences() == [])
        return lab
    }

    private let change = [
        ObjectChange.endpointSlice(LargeCluster(services: 3, endpointsEach: 2).slice(1, generation: 1))
    ]

    // MARK: - Other transactions

    @Test("a transaction of somebody else after the generation was asked for has a commit refused, with no effect")
    func outdated() async throws {
        let lab = try await smallLab()
        let before = try await lab.contents()
        let generation = try await lab.tables.generation()
        try await foreignTransaction(lab.peer)
        let identity = NFTTable.Identity(family: .ipv4, name: NFTablesNames.sharedMaps, comment: nil)
        let batch = NFTablesBatch(NFTTransaction(identity, [.deleteTable(name: identity.name)]))
        let error = await #expect(throws: NFTablesError.self) {
            _ = try await lab.tables.commit(batch, after: generation)
        }
        #expect(error?.isOutdated == true, "\(error?.sentence ?? "")")
        #expect(try await lab.contents() == before)
    }

    @Test("a sync that others come before is repeated, at last without asking whether they do", arguments: [3, .max])
    func repeated(rivals: Int) async throws {
        let lab = try await smallLab()
        let other = try NFTablesPeer(in: lab.namespace)
        lab.tables.meddle { if $0 < rivals { try await foreignTransaction(other) } }
        await lab.take(change)
        try await lab.sync()
        // Twenty times for a generation.
        #expect(lab.tables.commits.count == min(rivals, 20) + 1)
        #expect((lab.tables.commits.last == .some(nil)) == (rivals > 20))
        #expect(try await lab.differences() == [])
        #expect(try await lab.look() == [])
    }

    enum Moment: CaseIterable {
        case betweenCommits, afterTheGenerationWasAskedFor
    }

    @Test(
        "what somebody takes away between two commits, or before a commit that is under way, is back after the next sync",
        arguments: ["flush ruleset", "flush table ip switchyard", "delete table ip switchyard"], Moment.allCases)
    func takenAway(_ command: String, _ moment: Moment) async throws {
        let lab = try await smallLab()
        switch moment {
        case .betweenCommits: try lab.nft(command)
        case .afterTheGenerationWasAskedFor:
            lab.tables.meddle { [namespace = lab.namespace] in if $0 == 0 { try namespace.require(["nft", command]) } }
        }
        await lab.take(change)
        if let failure = await lab.failingSync() {
            #expect(failure.isRefusal, "\(failure)")
            #expect(try await lab.table() == nil)
            try await lab.sync()
            #expect(try await lab.look() == [])
        } else {
            // Without its rules the table still takes elements.
            #expect(command == "flush table ip switchyard")
            #expect(try await lab.lookAndMend() != [])
        }
        #expect(try await lab.differences() == [])
    }

    @Test("what somebody takes away during a commit of everything is there after it", arguments: [0, 1])
    func takenAwayDuringFullSync(commit: Int) async throws {
        let lab = try await smallLab()
        // To flush what is empty is no transaction.
        lab.tables.meddle { [namespace = lab.namespace] in
            if $0 <= commit { try namespace.require(["nft", "add table ip others; flush ruleset"]) }
        }
        try await lab.sync(full: true)
        #expect(lab.tables.commits.count == commit + 2)
        #expect(try await lab.differences() == [])
    }

    // MARK: - Refusals

    private static let refused: [(element: String, expected: String)] = [
        (
            "service-ips { 172.30.0.7 . tcp . 80 : goto reject-it }",
            "element 172.30.0.7 . tcp . 80 of service-ips (namespace-0/service-6:http)"
        ),
        ("endpoints-tcp { 172.30.0.7 . 80 . 1 : 10.9.9.9 . 9 }", "element 172.30.0.7 . 80 . 1 of endpoints-tcp"),
        (
            "no-endpoint-services { 172.30.0.8 . tcp . 80 : drop }",
            "element 172.30.0.8 . tcp . 80 of no-endpoint-services (namespace-0/service-7:http)"
        ),
    ]

    @Test("an element whose key has another value already is named, with its service", arguments: 0..<3)
    func element(_ index: Int) async throws {
        let (element, expected) = Self.refused[index]
        let lab = try await smallLab()
        try lab.nft("add element ip switchyard \(element)")
        let before = try await lab.contents()
        let cluster = LargeCluster(services: 8, endpointsEach: 2)
        await lab.take([.service(cluster.service(6)), .endpointSlice(cluster.slice(6)), .service(cluster.service(7))])
        let failure = try #require(await lab.failingSync())
        #expect(failure.isRefusal && failure.description.hasSuffix(": \(expected)"), "\(failure)")
        #expect(try await lab.contents() == before)
        try await lab.sync()
        #expect(try await lab.differences() == [])
    }

    @Test("one message refused among those of 10,000 services undoes all of them")
    func largeBatch() async throws {
        let lab = try await FaultLab()
        try await lab.sync()
        try lab.nft("add element ip switchyard service-ips { 172.30.19.137 . tcp . 80 : goto reject-it }")
        let before = try await lab.contents()
        await lab.take(LargeCluster(services: 10_000, endpointsEach: 1).changes)
        let failure = try #require(await lab.failingSync())
        let expected = "element 172.30.19.137 . tcp . 80 of service-ips (namespace-250/service-5000:http)"
        #expect(failure.isRefusal && failure.description.hasSuffix(": \(expected)"), "\(failure)")
        #expect(try await lab.contents() == before)
        try await lab.sync()
        #expect(try await lab.differences() == [])
    }

    @Test("a batch with a fault is not sent")
    func incomplete() async throws {
        let lab = try await smallLab()
        let generation = try await lab.tables.generation()
        let identity = NFTTable.Identity(family: .ipv4, name: NFTablesNames.sharedMaps, comment: nil)
        var batch = NFTablesBatch(NFTTransaction(identity, [.deleteTable(name: identity.name)]))
        batch.fault = "a rule cannot be written"
        let error = await #expect(throws: NFTablesError.self) { _ = try await lab.tables.commit(batch, after: nil) }
        #expect(error?.kind == .incomplete && error?.sentence.hasSuffix("a rule cannot be written") == true)
        #expect(try await lab.tables.generation() == generation)
    }

    // MARK: - Limits

    @Test("an element beyond the size of its set is named, and nothing of its batch is there")
    func fullSet() async throws {
        let lab = try await smallLab()
        let before = try await lab.contents()
        let identity = NFTTable.Identity(family: .ipv4, name: NFTablesNames.sharedMaps, comment: nil)
        let elements = (1...4).map { number in
            NFTChange.addElement(
                NFTElement(set: "limited", key: [.port(UInt16(number))], comment: "default/web:\(number)"))
        }
        let batch = NFTablesBatch(
            NFTTransaction(identity, [.addSet(NFTSet(name: "limited", key: [.port], size: 3))] + elements))
        let error = await #expect(throws: NFTablesError.self) { _ = try await lab.tables.commit(batch, after: nil) }
        // ENFILE.
        #expect(error?.errno == .tooManyOpenFilesInSystem)
        let sentence = error?.naming(objectOf: batch).sentence ?? ""
        #expect(sentence.hasSuffix("of limited (default/web:4)"), "\(sentence)")
        #expect(try await lab.contents() == before)
        await lab.take(change)
        try await lab.sync()
        #expect(try await lab.differences() == [])
    }

    @Test("answers that do not fit into the receive buffer are told, and everything is written anew")
    func lostAnswers() async throws {
        let lab = try await FaultLab(receiveBuffer: 4096)
        try await lab.sync()
        try lab.nft("flush ruleset")
        // Some thousand messages, each of which is refused.
        await lab.take(affinityServices(0..<300))
        let failure = try #require(await lab.failingSync())
        #expect(!failure.isRefusal && failure.description.contains("No buffer space available"), "\(failure)")
        #expect(try await lab.table() == nil)
        try await lab.sync()
        #expect(try await lab.differences() == [])
    }

    @Test("a transaction beyond the send buffer is told and changes nothing, and a smaller one goes")
    func sendBuffer() async throws {
        // The kernel doubles it.
        let lab = try await FaultLab(sendBuffer: 100_000)
        try await lab.sync()
        let before = try await lab.contents()
        let cluster = LargeCluster(services: 2000, endpointsEach: 2)
        await lab.take(cluster.changes)
        let failure = try #require(await lab.failingSync())
        #expect(failure.description.contains("Message too long"), "\(failure)")
        #expect(try await lab.contents() == before)
        await lab.take((10..<2000).map { .serviceDeleted(cluster.name($0)) })
        try await lab.sync()
        #expect(try await lab.differences() == [])
    }
}
