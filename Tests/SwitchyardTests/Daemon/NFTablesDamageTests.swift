import Foundation
import TestSupport
import Testing

/// The daemon in nftables mode, on a real kernel.
@Suite("Daemon, nftables mode", .daemonKernel, .serialized)
enum DaemonNFTables {}

/// What another program does to our table once.
private struct Damage {
    var script: String
    /// What it is counted as.
    var kind: String
    /// What the log names.
    var words: String

    /// Those that a look without elements tells. The first damage of a pair is mended before the second comes; a third
    /// without a check in between would be a contest.
    static let losses = [
        [
            Damage(script: "nft delete table ip switchyard", kind: "table", words: "gone: table switchyard"),
            Damage(script: "nft flush chain ip switchyard nat-prerouting", kind: "changed", words: "nat-prerouting"),
        ],
        [
            Damage(script: "nft flush ruleset", kind: "table", words: "gone: table switchyard"),
            Damage(
                script: """
                    nft flush map ip switchyard service-ips
                    nft flush map ip switchyard service-nodeports
                    nft flush chain ip switchyard node-masq-tcp-1
                    nft delete chain ip switchyard node-masq-tcp-1
                    """, kind: "missing", words: "chain node-masq-tcp-1"),
        ],
    ]

    static let alterations = [
        Damage(script: "nft flush map ip switchyard service-ips", kind: "missing", words: "172.30.0.11 . tcp . 80"),
        Damage(
            script: """
                nft 'delete element ip switchyard endpoints-tcp { 172.30.0.11 . 80 . 0 }
                    add element ip switchyard endpoints-tcp { 172.30.0.11 . 80 . 0 : 10.1.0.9 . 8081 }'
                """, kind: "changed", words: "172.30.0.11 . 80 . 0 of endpoints-tcp"),
        Damage(
            script: "nft 'add element ip switchyard service-ips { 172.30.9.9 . tcp . 99 : goto reject-it }'",
            kind: "unexpected", words: "172.30.9.9 . tcp . 99"),
        Damage(script: "nft insert rule ip switchyard services accept", kind: "changed", words: "chain services"),
    ]
}

extension DaemonNode {
    /// What other programs have in nf_tables.
    func foreignTables() throws -> String {
        try shell(
            """
            nft list tables | grep -v ' switchyard$' | sort |
                while read -r _ family table; do nft -s list table $family $table; done
            """)
    }
}

extension DaemonNFTables {
    @Suite("Damage")
    struct DamageTests {
        @Test("that is a loss is noticed within a second, mended and counted", arguments: Damage.losses.indices)
        func losses(_ index: Int) async throws {
            // No check in the time that this takes.
            let node = try await DaemonNode.crowded(.nftables, syncPeriod: "120s")
            var delays: [Double] = []
            for damage in Damage.losses[index] {
                let before = Date()
                try node.shell(damage.script)
                let foreign = try node.foreignTables()
                let told = try #require(
                    await node.time(ofLossNamed: damage.words, after: before), "\(node.daemon?.log ?? "")")
                delays.append(told.timeIntervalSince(before))
                #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
                #expect(node.status()?["IPv4"]?.drift.mended[damage.kind] ?? 0 > 0)
                #expect(try node.foreignTables() == foreign)
            }
            print("nftables: losses were noticed after \(delays.map { ($0 * 1000).rounded() }) ms")
            // Half a second between two looks; the rest is for a machine that is busy with other tests.
            #expect(delays.allSatisfy { $0 < 3 }, "\(delays)")
            #expect(node.status()?["IPv6"]?.drift.mended.isEmpty == (index == 0))
            #expect(node.daemon?.log.contains("by check") == false)
        }

        @Test("of elements and rules is found by a check, mended and counted")
        func alterations() async throws {
            let node = try await DaemonNode.crowded(.nftables, syncPeriod: "1s")
            let foreign = try node.foreignTables()
            #expect(foreign.contains("table inet others"))
            for damage in Damage.alterations {
                let before = Date()
                let counted = node.status()?["IPv4"]?.drift.mended[damage.kind] ?? 0
                try node.shell(damage.script)
                let told = await node.time(ofLossNamed: damage.words, after: before)
                #expect(told != nil, "\(damage.script): \(node.daemon?.log ?? "")")
                #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
                #expect(node.status()?["IPv4"]?.drift.mended[damage.kind] ?? 0 > counted)
                // A check without a finding is peace, so that the next damage is no contest.
                let checked = node.status()?["IPv4"]?.lastCheck?.finishedAt
                #expect(await node.wait { $0.lastCheck?.findings == 0 && $0.lastCheck?.finishedAt != checked })
            }
            #expect(try node.foreignTables() == foreign)
            #expect(node.status()?["IPv4"]?.contested == nil && node.status()?.healthy == true)
        }
    }
}
