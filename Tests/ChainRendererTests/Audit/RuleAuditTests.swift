import Foundation
import GoldenSupport
import ProxyCore
import TestSupport
import Testing

@testable import ChainRenderer

extension RuleAudit {
    /// Gives the text to the check in pieces of random sizes.
    static func report(
        _ audit: RuleAudit?, _ text: [UInt8], seed: UInt64, skipping: Set<String> = []
    ) throws -> AuditReport {
        var audit = try #require(audit)
        var generator = SeededGenerator(seed: seed)
        var start = 0
        while start < text.count {
            let end = min(
                text.count, start + Int.random(in: 1...generator.pick([3, 100, 5000, 100_000]), using: &generator))
            try audit.append(text[start..<end])
            start = end
        }
        return try audit.finish(skipping: skipping)
    }
}

/// Rules that have been committed.
private func committed(_ node: NodePlan, _ state: ClusterState, comments: Int = 1000) -> IPTablesRules {
    var rules = IPTablesRules(node: node, options: .init(commentLimit: comments))
    rules.update(state.services.keys, from: state)
    rules.didCommit()
    return rules
}

/// The differences by the comparison of whole rule sets and by the check, where they are not the same.
private func disagreement(_ rules: inout IPTablesRules, seed: UInt64, damages: Int) throws -> (
    text: String?, findings: Int
) {
    let wanted = try RuleSet(wanted: rules.fullBatch())
    var tables = DamagedTables(wanted, seed: seed)
    for _ in 0..<damages { tables.inflict() }
    let save = tables.save
    let leavesGuard = seed.isMultiple(of: 2)
    let found = try RuleSet(parsing: save, family: wanted.family)
    let expected = RuleComparison(wanted: wanted, found: found, leavesGuardToKubelet: leavesGuard).differences()
    let report = try RuleAudit.report(rules.audit(leavesGuardToKubelet: leavesGuard), save, seed: seed)
    guard report != AuditReport(differences: expected, uncomparedChainCount: 0) else {
        return (nil, expected.findings.count)
    }
    let text = """
        seed \(seed), \(expected.wantedRuleCount) and \(report.differences.wantedRuleCount) rules, expected
        \(expected.findings.map { "\($0)" }.joined(separator: "\n"))
        got
        \(report.differences.findings.map { "\($0)" }.joined(separator: "\n"))
        """
    return (text, expected.findings.count)
}

private func randomNode(_ family: IPFamily) -> NodePlan {
    var configuration = ProxyConfiguration()
    configuration.clusterCIDRs = ["10.180.0.0/16", "fd00:10:180::/48"].compactMap(CIDR.init)
    return NodePlan(
        configuration, mode: .iptables, family: family, nodeName: "node1", node: nil, facts: HostFacts(of: nil))
}

private func largeState(_ services: Int) -> ClusterState {
    var state = ClusterState()
    for change in LargeCluster(services: services, endpointsEach: 2).changes { state.apply(change) }
    return state
}

@Suite("The check of the kernel's tables")
struct RuleAuditTests {
    @Test("finds in every golden cluster what the comparison of whole rule sets finds", arguments: GoldenCase.all)
    func golden(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden)
        var total = 0
        for family in IPFamily.allCases {
            var rules = committed(cluster.nodePlan(family), cluster.state)
            // Those with many endpoints hold nothing that the small ones do not.
            let isLarge = rules.fullBatch().text.count > 100_000
            for seed in 1...UInt64(isLarge ? 1 : 4) {
                let (text, count) = try disagreement(&rules, seed: seed, damages: [0, 1, 2, 5][Int(seed % 4)])
                if let text { Issue.record("\(family), \(text)") }
                total += count
            }
        }
        #expect(total > 0)
    }

    /// `SWITCHYARD_AUDITS` is how many clusters, 8 without it.
    @Test("finds the same in random clusters")
    func random() throws {
        let count = ProcessInfo.processInfo.environment["SWITCHYARD_AUDITS"].flatMap(UInt64.init) ?? 8
        for seed in 1...max(count, 1) { try random(seed) }
    }

    private func random(_ seed: UInt64) throws {
        var objects = RandomObjects(seed: seed)
        var state = ClusterState()
        for _ in 0..<60 { state.apply(objects.change()) }
        for family in IPFamily.allCases {
            var rules = committed(randomNode(family), state)
            for damages in [0, 1, 4] {
                let (text, count) = try disagreement(&rules, seed: seed * 8 + UInt64(damages), damages: damages)
                if let text { Issue.record("\(family), \(text)") }
                if damages == 0 { #expect(count == 0) }
            }
        }
    }

    @Test("takes comments for no difference, in either direction", arguments: [0, Int.max])
    func comments(_ limit: Int) throws {
        let state = largeState(20)
        var written = committed(randomNode(.ipv4), state, comments: limit)
        var rules = committed(randomNode(.ipv4), state, comments: limit == 0 ? .max : 0)
        let save = DamagedTables(try RuleSet(wanted: written.fullBatch()), seed: 0).save
        let report = try RuleAudit.report(rules.audit(leavesGuardToKubelet: true), save, seed: 1)
        #expect(report.isEmpty)
    }

    @Test("compares a bounded number of chains, and counts the others")
    func bounded() throws {
        var rules = committed(randomNode(.ipv4), largeState(600))
        let wanted = try RuleSet(wanted: rules.fullBatch())
        func report(_ damage: (inout RuleSet.Chain) -> Void) throws -> AuditReport {
            var found = wanted
            let nat = try #require(found.tables.firstIndex { $0.name == "nat" })
            for place in found.tables[nat].chains.indices
            where found.tables[nat].chains[place].name.hasPrefix("KUBE-SEP") {
                found.tables[nat].modify(place, damage)
            }
            let save = DamagedTables(found, seed: 0).save
            return try RuleAudit.report(rules.audit(leavesGuardToKubelet: true), save, seed: 2)
        }
        let missing = try report { $0.rules = [] }
        #expect(missing.differences.findings.count == 500)
        #expect(missing.uncomparedChainCount == 700)
        let changed = try report { $0.rules.append($0.rules[0]) }
        #expect(changed.differences.findings.count == 500)
        #expect(changed.differences.findings.allSatisfy { $0.kind == .foreign && $0.detail == "a second time" })
        #expect(changed.uncomparedChainCount == 700)
    }

    @Test("leaves out chains that were written in the meantime, and what is not committed yet")
    func skipped() throws {
        let cluster = LargeCluster(services: 30, endpointsEach: 2)
        var state = largeState(30)
        var rules = committed(randomNode(.ipv4), state)
        let before = DamagedTables(try RuleSet(wanted: rules.fullBatch()), seed: 0).save
        _ = state.takeTouched()
        state.apply(.endpointSlice(cluster.slice(7, generation: 1)))
        state.apply(.serviceDeleted(cluster.name(8)))
        rules.update(state.takeTouched(), from: state)
        let pending = try RuleAudit.report(rules.audit(leavesGuardToKubelet: true), before, seed: 3)
        #expect(pending.isEmpty)

        let batch = rules.nextBatches(chainLimit: 1000)
        rules.didCommit()
        let stale = try RuleAudit.report(rules.audit(leavesGuardToKubelet: true), before, seed: 3)
        #expect(!stale.isEmpty)
        let written = Set(batch.flatMap(\.chainNames))
        #expect(written.contains("KUBE-SERVICES") && written.count < 12)
        let report = try RuleAudit.report(
            rules.audit(leavesGuardToKubelet: true), before, seed: 3, skipping: written)
        #expect(report.isEmpty)
        rules.didFail()
        let unknown = rules.audit(leavesGuardToKubelet: true)
        #expect(unknown == nil)
    }

    @Test(
        "refuses what iptables-save does not print, with its line",
        arguments: [
            ("*nat\n:KUBE-SERVICES - [0:0]\n", 2, "the text ends within table nat, before its COMMIT"),
            ("*nat\n-A A -j B\n-A B -j C\n-A A -j C\nCOMMIT\n", 4, "the rules of chain A are in more than one place"),
            (
                "*nat\n-A KUBE-MARK-MASQ -j B\n-A B -j C\n-A KUBE-MARK-MASQ -j C\n", 4,
                "the rules of chain KUBE-MARK-MASQ are in more than one place"
            ),
            ("*nat\n-I A -j B\n", 2, "the command -I is none that iptables-save prints"),
            ("*nat\n*filter\n", 2, "table filter begins before the COMMIT of table nat"),
            ("*nat\nCOMMIT\n*nat\nCOMMIT\n", 3, "table nat is there a second time"),
            ("COMMIT\n", 1, "COMMIT without a table before it"), ("-A X\n", 1, "a rule without a table before it"),
            (":X - [0:0]\n", 1, "a chain without a table before it"),
            ("*nat\nhello", 2, "\"hello\" is no line that iptables-save prints or iptables-restore reads"),
            (
                "*nat\n-A X " + String(repeating: "x", count: 2 << 20), 2,
                "the line is longer than 1048576 bytes"
            ),
        ])
    func refused(_ text: String, _ line: Int, _ reason: String) throws {
        var rules = committed(randomNode(.ipv4), largeState(2))
        let audit = rules.audit(leavesGuardToKubelet: true)
        #expect(throws: RuleSetError(line: line, reason: reason)) {
            var audit = try #require(audit)
            try audit.append(text.utf8)
            _ = try audit.finish()
        }
    }

    @Test("takes an empty text for tables that hold nothing")
    func empty() throws {
        var rules = committed(randomNode(.ipv4), largeState(2))
        let report = try RuleAudit.report(rules.audit(leavesGuardToKubelet: true), [], seed: 1)
        #expect(report.differences.findings.map(\.kind) == [.missing])
        #expect(report.differences.findings.first?.table == nil)
    }
}
