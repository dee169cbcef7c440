import Foundation
import TestSupport
import Testing

extension DaemonBesideOthers {
    @Suite("A rival")
    struct RivalTests {
        /// What a program does over and over.
        private static func deeds(_ variant: TrafficLabs.Variant) -> [String] {
            [
                "$IPT -t nat -D PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES",
                // As a second kube-proxy with other endpoints would.
                """
                printf '%s\\n' '*nat' ':KUBE-MARK-MASQ - [0:0]' '-A KUBE-MARK-MASQ -j MARK --or-mark 0x8000' COMMIT |
                    $IPT-restore --noflush
                """,
            ]
        }

        @Test(
            "that undoes each mending is named, and from then on only checks mend, until it stops",
            arguments: TrafficLabs.Variant.iptables, [0, 1])
        func contest(_ variant: TrafficLabs.Variant, _ deed: Int) async throws {
            let node = try DaemonNode(variant, syncPeriod: "3s")
            try await node.startAndSettle()
            // Far longer than the fifth of a second after a commit in which whoever writes may be the daemon's own
            // program: one that deletes the jump soon after each mending is not named.
            let rival = try node.namespace.start(
                ["sh", "-c", "while :; do \(Self.deeds(variant)[deed]); sleep 0.7; done"],
                environment: node.environment.merging(["IPT": "iptables-\(variant)"]) { $1 })
            #expect(await node.wait { $0.contested != nil }, "\(node.daemon?.log ?? "")")
            #expect(node.status()?.healthy == false)
            if variant == .nft {
                let isNamed = await node.wait { $0.contested?.by?.contains("iptables-nft") == true }
                #expect(isNamed, "\(node.daemon?.log ?? "")")
                #expect(node.status()?.problems.contains { $0.contains("iptables-nft") } == true)
            }
            // Every check may mend, and nothing else does.
            let before = mendings(node)
            let start = ContinuousClock.now
            try await Task.sleep(for: .seconds(7))
            let count = mendings(node) - before
            let checks = (ContinuousClock.now - start) / .seconds(3) + 1
            #expect(Double(count) <= checks, "\(node.daemon?.log ?? "")")
            rival.stop()
            #expect(await node.waitUntilHealthy(), "\(node.daemon?.log ?? "")")
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
            #expect(node.status()?["IPv4"]?.contested == nil)
            #expect(await node.waitUntilLogged("no longer undone"), "\(node.daemon?.log ?? "")")
            #expect(node.status()?["IPv6"]?.drift.mended == [:])
        }

        private func mendings(_ node: DaemonNode) -> Int {
            let lines = node.daemon?.log.split(separator: "\n") ?? []
            return lines.count { $0.contains("rules are committed") && $0.contains("kind=full") }
        }
    }
}
