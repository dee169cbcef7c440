import Foundation
import TestSupport
import Testing

@Suite("Random histories in the kernel", .kernel())
struct KernelHistoryTests {
    /// `SWITCHYARD_HISTORIES` is how many, `SWITCHYARD_SEED` the first seed.
    @Test("end in the table that a full commit makes, and in no other on their way")
    func histories() async throws {
        let environment = ProcessInfo.processInfo.environment
        let count = environment["SWITCHYARD_HISTORIES"].flatMap(UInt64.init) ?? 500
        let first = environment["SWITCHYARD_SEED"].flatMap(UInt64.init) ?? UInt64(Date().timeIntervalSince1970)
        print("histories in the kernel: seeds \(first) to \(first + count - 1)")
        let workers = UInt64(max(1, ProcessInfo.processInfo.activeProcessorCount))
        try await withThrowingTaskGroup { group in
            for worker in 0..<workers {
                group.addTask {
                    let namespace = try Namespace()
                    let peer = try NFTablesPeer(in: namespace)
                    for seed in stride(from: first + worker, to: first + count, by: Int(workers)) {
                        let history = KernelHistory(seed: seed)
                        guard let fault = try await history.fault(in: peer) else { continue }
                        let short = try await history.shrunk(in: peer)
                        let last = try await short.fault(in: peer) ?? "no fault"
                        Issue.record(
                            """
                            seed \(seed): \(fault)
                            shrunk to \(short.steps.count) steps, \(last):
                            \(short)
                            """)
                        return
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
