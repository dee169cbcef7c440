// The applier of nftables mode for tests outside: it runs inside a network namespace, carries out what it reads from
// its standard input, and answers on its standard output.
//
//     nftables-peer RECEIVE-BUFFER SEND-BUFFER        in bytes; 0 is the applier's own

import BatchApplier
import Glibc
import ProxyCore
import SystemPackage
import TestSupport

let sizes = CommandLine.arguments.dropFirst().map { Int($0).flatMap { $0 > 0 ? $0 : nil } }
guard sizes.count == 2 else {
    print("say how large the receive and the send buffer are to be")
    exit(1)
}
let applier = NFTablesApplier(receiveBuffer: sizes[0], sendBuffer: sizes[1])

func carryOut(_ request: NFTablesRequest) async throws(NFTablesError) -> NFTablesReply {
    switch request {
    case .generation: return .generation(try await applier.generation())
    case .commit(let bytes, let generation):
        return .generation(try await applier.commit(bytes.batch, after: generation))
    case .read(let family, let table, let withElements):
        let family = IPFamily(rawValue: family) ?? .ipv4
        guard let dump = try await applier.read(family, table: table, withElements: withElements) else {
            return .noTable
        }
        return .table(.init(generation: dump.generation, messages: dump.messages.lazy.map { ($0.type, $0.payload) }))
    case .alternate: return .noTable
    }
}

extension NFTablesReply.Failure {
    init(_ error: NFTablesError) {
        self.init(
            kind: "\(error.kind)", sentence: error.sentence, errno: error.errno.rawValue,
            message: error.place?.message, offset: error.place?.offset)
    }
}

signal(SIGPIPE, SIG_IGN)
while let request = try ValuePipe.read(NFTablesRequest.self, from: 0) {
    do throws(NFTablesError) {
        let reply = try await carryOut(request)
        try? ValuePipe.write(reply, to: 1)
        guard case .alternate(let first, let second) = request else { continue }
        let batches = [first.batch, second.batch]
        // Until it is killed, or whoever would kill it has ended.
        let parent = getppid()
        while getppid() == parent {
            for batch in batches { _ = try await applier.commit(batch) }
        }
    } catch {
        try? ValuePipe.write(NFTablesReply.failure(.init(error)), to: 1)
    }
}
