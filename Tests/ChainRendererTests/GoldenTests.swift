import ChainRenderer
import EndpointWatcher
import ProxyCore
import TestSupport
import Testing

@Suite("Golden rules")
struct GoldenTests {
    private func rules(
        _ golden: GoldenCase, _ family: IPFamily, accounting: Bool, order: ([ObjectChange]) -> [ObjectChange] = { $0 }
    ) throws -> IPTablesRules {
        let configuration = try ConfigurationReader.read(path: golden.configuration).0
        let manifests = try ManifestReader.read(paths: [golden.cluster])
        #expect(manifests.diagnostics.isEmpty)
        var state = ClusterState()
        for change in order(manifests.changes) { state.apply(change) }
        let node = try #require(state.nodes[configuration.hostnameOverride])
        let plan = NodePlan(
            configuration, mode: .iptables, family: family, nodeName: configuration.hostnameOverride, node: node,
            facts: HostFacts(of: node))
        var rules = IPTablesRules(node: plan, options: .init(accounting: accounting))
        rules.update(state.takeTouched(), from: state)
        return rules
    }

    @Test("equal what kube-proxy writes, byte for byte", arguments: GoldenCase.all)
    func equal(_ golden: GoldenCase) throws {
        for family in IPFamily.allCases {
            for (name, accounting) in [("iptables", false), ("iptables-nfacct", true)] {
                let file = "\(name).\(family.shortName).restore"
                let expected = try #require(golden.expected(file), "\(file) is missing")
                var rules = try rules(golden, family, accounting: accounting)
                let difference = UnifiedDiff.text(
                    old: expected, new: rules.fullBatch().text, oldName: golden.path(file), newName: "rendered")
                #expect(difference == nil, "\(difference ?? "")")
            }
        }
    }

    @Test("are the same bytes whatever the order of the objects", arguments: GoldenCase.all)
    func orderOfObjects(_ golden: GoldenCase) throws {
        for family in IPFamily.allCases {
            var straight = try rules(golden, family, accounting: true)
            let expected = straight.fullBatch().text
            var backwards = try rules(golden, family, accounting: true) { $0.reversed() }
            #expect(backwards.fullBatch().text == expected)
            for seed in 1...3 {
                var generator = SeededGenerator(seed: UInt64(seed))
                var shuffled = try rules(golden, family, accounting: true) { $0.shuffled(using: &generator) }
                #expect(shuffled.fullBatch().text == expected)
            }
        }
    }

    @Test("are found: the clusters written by hand are all there")
    func found() {
        #expect(GoldenCase.all.count >= 45)
    }
}
