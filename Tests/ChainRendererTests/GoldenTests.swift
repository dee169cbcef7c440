import ChainRenderer
import EndpointWatcher
import ProxyCore
import TestSupport
import Testing

/// The objects of a golden cluster and the configuration that goes with them.
private struct GoldenInput {
    let configuration: ProxyConfiguration
    let changes: [ObjectChange]

    init(_ golden: GoldenCase) throws {
        configuration = try ConfigurationReader.read(path: golden.configuration).0
        let manifests = try ManifestReader.read(paths: [golden.cluster])
        // One cluster gives a Service twice, of which the later counts; that is worth no more than a note.
        #expect(manifests.diagnostics.allSatisfy { $0.severity == .note })
        changes = manifests.changes
    }

    /// The text of a full batch, of objects that came in the order of `changes`.
    func text(_ changes: [ObjectChange], _ family: IPFamily, accounting: Bool) throws -> [UInt8] {
        var state = ClusterState()
        for change in changes { state.apply(change) }
        let node = try #require(state.nodes[configuration.hostnameOverride])
        let plan = NodePlan(
            configuration, mode: .iptables, family: family, nodeName: configuration.hostnameOverride, node: node,
            facts: HostFacts(of: node))
        var rules = IPTablesRules(node: plan, options: .init(accounting: accounting))
        rules.update(state.takeTouched(), from: state)
        return rules.fullBatch().text
    }
}

@Suite("Golden rules")
struct GoldenTests {
    @Test("equal what kube-proxy writes, byte for byte", arguments: GoldenCase.all)
    func equal(_ golden: GoldenCase) throws {
        let input = try GoldenInput(golden)
        for family in IPFamily.allCases {
            for (name, accounting) in [("iptables", false), ("iptables-nfacct", true)] {
                let file = "\(name).\(family.shortName).restore"
                let expected = try #require(golden.expected(file), "\(file) is missing")
                let difference = UnifiedDiff.text(
                    old: expected, new: try input.text(input.changes, family, accounting: accounting),
                    oldName: golden.path(file), newName: "rendered")
                #expect(difference == nil, "\(difference ?? "")")
            }
        }
    }

    @Test("are the same bytes whatever the order of the objects", arguments: GoldenCase.all)
    func orderOfObjects(_ golden: GoldenCase) throws {
        let input = try GoldenInput(golden)
        var generator = SeededGenerator(seed: 1)
        for family in IPFamily.allCases {
            let expected = try input.text(input.changes, family, accounting: true)
            #expect(try input.text(input.changes.reversed(), family, accounting: true) == expected)
            for _ in 0..<2 {
                #expect(try input.text(input.changes.shuffled(using: &generator), family, accounting: true) == expected)
            }
        }
    }

    @Test("are found: the clusters written by hand are all there")
    func found() {
        #expect(GoldenCase.all.count >= 45)
    }
}
