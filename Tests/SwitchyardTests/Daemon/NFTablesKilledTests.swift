import Foundation
import TestSupport
import Testing

extension DaemonNFTables {
    @Suite("Killed")
    struct KilledTests {
        private static let kills = 30

        @Test("after 30 kills in a history of changes the kernel is as wanted each time, and no connection fails")
        func killed() async throws {
            var history = DaemonKilledTests.History(seed: 3, count: 100)
            let node = try DaemonNode(.nftables, family: "ipv4")
            try history.writeAll(node)
            try await node.startAndSettle()
            let probe = try ConnectionProbe(node)
            for kill in 0..<Self.kills {
                try history.change(node)
                // A change is noticed within half a second, and taken over a fifth of one later.
                try await Task.sleep(for: .milliseconds(Int.random(in: 100...500, using: &history.generator)))
                node.daemon?.kill()
                if history.generator.chance(30) { try history.change(node) }
                try node.start()
                #expect(await node.waitUntilHealthy(), "after kill \(kill): \(node.daemon?.log ?? "")")
                #expect(try await node.settle() == "", "after kill \(kill): \(node.daemon?.log ?? "")")
            }
            let (succeeded, failed) = try probe.stop()
            print("nftables, killed: \(succeeded) connections, \(failed.count) failed")
            #expect(failed == [], "of \(succeeded) connections")
            #expect(succeeded > 100)
        }
    }
}
