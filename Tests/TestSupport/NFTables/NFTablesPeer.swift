import Dispatch
import Foundation
package import ProxyCore
import Synchronization

/// `nftables-peer` in a namespace: commits batches there, and reads tables back.
///
/// One process serves any number of commits. It is killed with the last reference to it.
package final class NFTablesPeer: Sendable {
    private let namespace: Namespace
    private let pid: pid_t
    private let requests: Int32
    private let replies: Int32
    private let isOver = Mutex(false)
    /// Where calls may block.
    private let queue = DispatchQueue(label: "nftables-peer")

    /// - Parameters:
    ///   - receiveBuffer: of its socket, in bytes; nil is the applier's own.
    ///   - sendBuffer: likewise.
    package init(in namespace: Namespace, receiveBuffer: Int? = nil, sendBuffer: Int? = nil) throws {
        self.namespace = namespace
        let input = try Command.pipe()
        let output = try Command.pipe()
        defer {
            close(input.reading)
            close(output.writing)
        }
        pid = try Command.start(
            namespace.commandPrefix + [BuiltProducts.nftablesPeer, "\(receiveBuffer ?? 0)", "\(sendBuffer ?? 0)"],
            descriptors: [input.reading, output.writing, -1])
        requests = input.writing
        replies = output.reading
    }

    deinit {
        stop()
        close(requests)
        close(replies)
    }

    /// Kills it, and waits until it is gone.
    package func stop() {
        isOver.withLock { isOver in
            guard !isOver else { return }
            kill(pid, SIGKILL)
            Command.wait(for: pid)
            isOver = true
        }
    }

    /// Returns the generation that the commit made; nil where none was given.
    @discardableResult
    package func commit(_ batch: NFTablesBatch, after generation: UInt32? = nil) async throws -> UInt32? {
        switch try await ask(.commit(.init(batch), after: generation)) {
        case .generation(let made): return made
        case let other: throw Self.unexpected(other)
        }
    }

    package func generation() async throws -> UInt32 {
        switch try await ask(.generation) {
        case .generation(let generation?): return generation
        case let other: throw Self.unexpected(other)
        }
    }

    /// A table; nil where it is not there.
    package func read(
        _ family: IPFamily, table: String, withElements: Bool = true
    ) async throws -> NFTablesReply.Listing? {
        switch try await ask(.read(family: family.rawValue, table: table, withElements: withElements)) {
        case .table(let listing): return listing
        case .noTable: return nil
        case let other: throw Self.unexpected(other)
        }
    }

    /// Commits two batches by turns until the peer is killed.
    package func alternate(_ first: NFTablesBatch, _ second: NFTablesBatch) async throws {
        _ = try await ask(.alternate(.init(first), .init(second)))
    }

    private func ask(_ request: NFTablesRequest) async throws -> NFTablesReply {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [requests, replies] in
                continuation.resume(
                    with: Result {
                        try ValuePipe.write(request, to: requests)
                        guard let reply = try ValuePipe.read(NFTablesReply.self, from: replies) else {
                            throw CommandFailure("nftables-peer is gone")
                        }
                        return reply
                    })
            }
        }
    }

    private static func unexpected(_ reply: NFTablesReply) -> any Error {
        if case .failure(let failure) = reply { failure } else { CommandFailure("not the reply to what was asked") }
    }
}
