import ProxyCore
import Synchronization
import SystemPackage
import TestSupport

@testable import BatchApplier
@testable import SyncLoop

/// The tables of a peer's namespace as the daemon uses them. Before each commit, when what it is based on has been
/// asked for already, something else may happen.
final class PeerTables: NFTablesAccess {
    /// A commit's number counts from 0.
    typealias Act = @Sendable (_ number: Int) async throws -> Void

    private let peer: NFTablesPeer
    private let state = Mutex((commits: [UInt32?](), act: nil as Act?))

    init(_ peer: NFTablesPeer) {
        self.peer = peer
    }

    /// The generations that commits were made for since `meddle` was called.
    var commits: [UInt32?] { state.withLock(\.commits) }

    /// - Parameter act: must not keep these tables alive, nor the lab that has them.
    func meddle(_ act: @escaping Act) {
        state.withLock { $0 = ([], act) }
    }

    func generation() async throws(NFTablesError) -> UInt32 {
        try await carryOut { try await $0.generation() }
    }

    func commit(_ batch: NFTablesBatch, after generation: UInt32?) async throws(NFTablesError) -> UInt32? {
        let (number, act) = state.withLock { state in
            state.commits.append(generation)
            return (state.commits.count - 1, state.act)
        }
        return try await carryOut { peer in
            try await act?(number)
            return try await peer.commit(batch, after: generation)
        }
    }

    func read<Value: Sendable>(
        _ family: IPFamily, table: String, elementsOf isSetListed: @escaping @Sendable (String) -> Bool,
        into start: Value, _ take: @Sendable (inout Value, NFTablesDump.Message) -> Void
    ) async throws(NFTablesError) -> (generation: UInt32, value: Value)? {
        let hasElements = isSetListed("service-ips") || isSetListed("picks")
        let listing = try await carryOut { try await $0.read(family, table: table, withElements: hasElements) }
        return listing.map { listing in
            var value = start
            for message in listing.messages { take(&value, .init(type: message.type, payload: message.payload)) }
            return (listing.generation, value)
        }
    }

    private func carryOut<Value>(
        _ body: (NFTablesPeer) async throws -> Value
    ) async throws(NFTablesError) -> Value {
        do {
            return try await body(peer)
        } catch let failure as NFTablesReply.Failure {
            throw NFTablesError(failure)
        } catch {
            throw NFTablesError(NetlinkError(operation: "reach the peer: \(error)", errno: .brokenPipe))
        }
    }
}

extension NFTablesError {
    /// As the peer's applier has thrown it.
    fileprivate init(_ failure: NFTablesReply.Failure) {
        self.init(NetlinkError(operation: "", errno: Errno(rawValue: failure.errno)))
        sentence = failure.sentence
        kind =
            switch failure.kind {
            case "outdated": .outdated
            case "refused": .refused
            case "incomplete": .incomplete
            case "unsupported": .unsupported
            default: .unknown
            }
        place = failure.message.map { Place(message: $0, offset: failure.offset) }
    }
}
