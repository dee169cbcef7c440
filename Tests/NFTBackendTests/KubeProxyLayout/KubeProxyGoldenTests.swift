import EndpointWatcher
import NFTBackend
import ProxyCore
import TestSupport
import Testing

/// The objects of a golden cluster and the configuration that goes with them.
private struct GoldenInput {
    let configuration: ProxyConfiguration
    let changes: [ObjectChange]

    init(_ golden: GoldenCase) throws {
        configuration = try ConfigurationReader.read(path: golden.configuration).0
        changes = try ManifestReader.read(paths: [golden.cluster]).changes
    }

    /// The table's text, of objects that came in the order of `changes`.
    func text(_ changes: [ObjectChange], _ family: IPFamily) throws -> [UInt8] {
        var state = ClusterState()
        for change in changes { state.apply(change) }
        let node = try #require(state.nodes[configuration.hostnameOverride])
        let plan = NodePlan(
            configuration, mode: .nftables, family: family, nodeName: node.name, node: node,
            facts: HostFacts(of: node))
        var plans = PlanTable()
        _ = plans.updateAll(from: state, in: plan.context)
        let ruleset = KubeProxyLayout.ruleset(
            node: plan, plans: plans.all, serviceRanges: state.serviceRanges(family))
        var writer = NFTTextWriter()
        writer.write(ruleset.table, elements: ruleset.elements)
        return writer.text
    }
}

/// The first lines at which two texts part; nil if they are equal.
private func firstDifference(_ expected: [UInt8], _ found: [UInt8]) -> String? {
    guard expected != found else { return nil }
    let expected = String(decoding: expected, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    let found = String(decoding: found, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    let line = zip(expected, found).prefix { $0 == $1 }.count
    return "line \(line + 1)\n- \(expected.dropFirst(line).first ?? "")\n+ \(found.dropFirst(line).first ?? "")"
}

@Suite("Layout of kube-proxy")
struct KubeProxyGoldenTests {
    @Test("equals what kube-proxy writes, byte for byte", arguments: GoldenCase.all)
    func equal(_ golden: GoldenCase) throws {
        let input = try GoldenInput(golden)
        for family in IPFamily.allCases {
            let file = "nftables.\(family.shortName).nft"
            let expected = try #require(golden.expected(file), "\(file) is missing")
            let difference = firstDifference(expected, try input.text(input.changes, family))
            #expect(difference == nil, "\(file), \(difference ?? "")")
        }
    }

    @Test("is the same bytes whatever the order of the objects", arguments: GoldenCase.all)
    func orderOfObjects(_ golden: GoldenCase) throws {
        let input = try GoldenInput(golden)
        for family in IPFamily.allCases {
            let expected = try input.text(input.changes, family)
            #expect(try input.text(input.changes.reversed(), family) == expected)
        }
    }

    @Test("is taken by nft", .kernel("nft"))
    func loads() throws {
        let namespace = try Namespace()
        for golden in GoldenCase.all {
            let input = try GoldenInput(golden)
            let tables = try IPFamily.allCases.flatMap { try input.text(input.changes, $0) }
            let text = "flush ruleset\n" + String(decoding: tables, as: UTF8.self)
            let result = try namespace.run(["nft", "-f", "-"], input: text)
            #expect(result.status == 0, "\(golden.testDescription): \(result.errors.prefix(1000))")
        }
    }
}
