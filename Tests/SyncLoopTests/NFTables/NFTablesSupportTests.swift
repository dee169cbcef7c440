import NFTBackend
import ProxyCore
import SystemPackage
import TestSupport
import Testing

@testable import BatchApplier
@testable import SyncLoop

extension NFTablesBatch {
    /// The same with another name for an expression, which no kernel knows.
    fileprivate func disguising(_ expression: String) -> NFTablesBatch {
        // NFTA_EXPR_NAME: its length, its type, and the name with a zero byte.
        let name = Array(expression.utf8) + [0]
        let pattern = [UInt8(name.count + 4), 0, 1, 0] + name
        var other = self
        for start in bytes.indices.dropLast(pattern.count - 1)
        where bytes[start..<start + pattern.count].elementsEqual(pattern) {
            other.bytes[start + pattern.count - 2] = UInt8(ascii: "~")
        }
        return other
    }

    /// The number of the first message that adds a rule (NFT_MSG_NEWRULE).
    fileprivate var firstRule: Int? { offsets.firstIndex { bytes[$0] != 0 && bytes[$0 + 4] == 6 } }
}

@Suite("Features of nf_tables, tried", .kernel())
struct NFTablesSupportTests {
    @Test("are all there in this kernel, and nobody else sees the trials", arguments: IPFamily.allCases)
    func complete(_ family: IPFamily) async throws {
        #expect(await NFTablesSupport.ofThisKernel(family) == .known(missing: []))
        let applier = try NFTablesApplier(inNewNamespace: .seconds(5))
        _ = try await applier.commit(NFTablesBatch(NFTFeature.counters.trial(family)))
        #expect(try await applier.read(family, table: "switchyard-check", withElements: true) != nil)
        #expect(try await NFTablesApplier().read(family, table: "switchyard-check", withElements: false) == nil)
    }

    private static let expressions: [(String, NFTFeature)] = [
        ("ct", .connectionTracking), ("numgen", .randomNumbers), ("nat", .translation), ("masq", .masquerading),
        ("reject", .rejection), ("fib", .routes), ("objref", .counters), ("dynset", .affinity),
    ]

    @Test("are told with their option where the kernel does not know them", arguments: IPFamily.allCases)
    func missing(_ family: IPFamily) async throws {
        let applier = try NFTablesApplier(inNewNamespace: .seconds(5))
        for (expression, feature) in Self.expressions {
            let support = await NFTablesSupport.found(family) { batch throws(NFTablesError) in
                do throws(NFTablesError) {
                    _ = try await applier.commit(batch.disguising(expression))
                } catch {
                    // The kernel names the place, from which the refusal of a whole table is explained too.
                    let sentence = error.naming(objectOf: batch).sentence
                    if feature != .affinity {
                        #expect(sentence.contains("may lack"), "\(sentence)")
                        #expect(sentence.contains(feature.kernelOptions(family)), "\(sentence)")
                    }
                    throw error
                }
            }
            #expect(support == .known(missing: [feature.absence(family)]), "\(expression)")
        }
    }

    @Test("are one where not even a table can be made, as in a kernel without the family")
    func noFamily() async {
        // What kernel 6.1 answers without CONFIG_NF_TABLES_IPV4, for the table and all that goes into it.
        let support = await NFTablesSupport.found(.ipv4) { batch throws(NFTablesError) in
            let error = NFTablesError(
                NetlinkError(operation: "x", errno: .notSupportedOnSocket, index: 1), of: batch, alsoRefused: 3)
            #expect(error.naming(objectOf: batch).sentence.contains("CONFIG_NF_TABLES_IPV4"))
            throw error
        }
        #expect(support == .known(missing: [NFTFeature.tables.absence(.ipv4)]))
    }

    @Test("are not known where it is something else that fails")
    func unknown() async {
        let support = await NFTablesSupport.found(.ipv4) { batch throws(NFTablesError) in
            throw NFTablesError(NetlinkError(operation: "x", errno: .noMemory, index: 2), of: batch, alsoRefused: 0)
        }
        guard case .unknown(let reason) = support else {
            Issue.record("\(support)")
            return
        }
        #expect(reason.contains("\(Errno.noMemory)"))
    }
}

@Suite("A kernel without nf_tables, or with less of it")
struct NFTablesAbsenceTests {
    private static let without: [Errno] = [
        .notSupported, .notSupportedOnSocket, .protocolNotSupported, .addressFamilyNotSupported,
    ]

    @Test("is told in one sentence with the option, and repeating is of no use", arguments: without)
    func noTables(_ errno: Errno) {
        let batch = NFTablesBatch(NFTFeature.natChains.trial(.ipv4))
        for error in [
            NFTablesError(NetlinkError(operation: "open a netlink socket", errno: errno)),
            // The answer to the message that begins the transaction.
            NFTablesError(NetlinkError(operation: "x", errno: errno, index: 0), of: batch, alsoRefused: 0),
        ] {
            #expect(error.kind == .unsupported && error.isWithoutTables)
            #expect(
                error.sentence.hasPrefix("this kernel has no nf_tables, which nftables mode needs (CONFIG_NF_TABLES"))
        }
    }

    @Test("is told apart from a process without rights", arguments: [Errno.notPermitted, .permissionDenied])
    func noRights(_ errno: Errno) {
        let error = NFTablesError(NetlinkError(operation: "open a netlink socket", errno: errno))
        #expect(error.kind == .unsupported && !error.isWithoutTables)
        #expect(error.sentence.contains("CAP_NET_ADMIN"))
    }

    @Test("is suspected where a rule is refused as unknown, and only there")
    func suspicion() throws {
        let batch = NFTablesBatch(NFTFeature.randomNumbers.trial(.ipv4))
        let rule = try #require(batch.firstRule)
        func sentence(_ errno: Errno) -> String {
            NFTablesError(NetlinkError(operation: "x", errno: errno, index: rule + 1), of: batch, alsoRefused: 0)
                .naming(objectOf: batch).sentence
        }
        #expect(
            sentence(.noSuchFileOrDirectory).hasSuffix(
                "a rule of chain filter; this kernel may lack the expression numgen (CONFIG_NFT_NUMGEN)"))
        #expect(sentence(.notSupportedOnSocket).contains("CONFIG_NFT_NUMGEN"))
        #expect(sentence(.noSpace).hasSuffix(": a rule of chain filter"))
    }

    /// Tables that refuse a rule as unknown.
    private struct PoorTables: NFTablesAccess {
        func generation() async throws(NFTablesError) -> UInt32 { 7 }

        func commit(_ batch: NFTablesBatch, after generation: UInt32?) async throws(NFTablesError) -> UInt32? {
            let index = (batch.firstRule ?? 0) + 1
            throw NFTablesError(
                NetlinkError(operation: "x", errno: .noSuchFileOrDirectory, index: index), of: batch, alsoRefused: 0)
        }

        func read<Value: Sendable>(
            _ family: IPFamily, table: String, elementsOf isSetListed: @escaping @Sendable (String) -> Bool,
            into start: Value, _ take: @Sendable (inout Value, NFTablesDump.Message) -> Void
        ) async throws(NFTablesError) -> (generation: UInt32, value: Value)? {
            throw NFTablesError(NetlinkError(operation: "read", errno: .timedOut))
        }
    }

    @Test("leads to a failed sync whose sentence names the feature and the option")
    func sync() async throws {
        let log = LogKeeper()
        let kernel = NFTablesKernel(
            family: .ipv6, tables: PoorTables(), logger: log.logger, committed: { nil }, didCommit: { _ in })
        let work = SyncWork(
            batches: [NFTablesBatch(NFTFeature.rejection.trial(.ipv6))], isFull: true, touchedServiceCount: 0,
            servicePortCount: 0, renderDuration: .zero)
        let failure = await #expect(throws: SyncFailure.self) { try await kernel.commit(work) }
        let sentence = try #require(failure?.status.sentence)
        #expect(sentence.contains("this kernel may lack the expression reject"), "\(sentence)")
        #expect(sentence.contains("CONFIG_NFT_REJECT and CONFIG_NFT_REJECT_IPV6"), "\(sentence)")
        // What cannot be read is not taken over, which is said.
        #expect(await kernel.finding(everything: true)?.sets == nil)
        #expect(log.messages.count == 1 && log.messages[0].hasPrefix("affinity and counters begin anew"))
    }
}
