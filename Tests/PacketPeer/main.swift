// Commits tables and sends first packets: it runs inside a network namespace that stands for a node, and prints where
// each packet came out.

import BatchApplier
import Glibc

do {
    let job = try Job.read()
    for batch in job.batches { _ = try await NFTablesApplier().commit(batch) }
    var lab = try PacketLab(local: job.local, probes: job.probes)
    try lab.run()
    lab.report()
} catch {
    fail("\(error)")
}

func fail(_ sentence: String) -> Never {
    let bytes = Array("packet-peer: \(sentence)\n".utf8)
    _ = write(2, bytes, bytes.count)
    exit(1)
}

/// What could not be done, in a sentence.
struct PeerFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }

    /// With the reason that the last call gave.
    init(call: String) {
        description = "\(call): \(String(cString: strerror(errno)))"
    }
}
