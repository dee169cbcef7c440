import ChainRenderer
import GoldenSupport
import ProxyCore
import TestSupport
import Testing

@Suite("The two walks")
struct WalkAgreementTests {
    @Test("end alike in either order, in both families", arguments: GoldenCase.all, IPFamily.allCases)
    func agree(_ golden: GoldenCase, _ family: IPFamily) throws {
        let cluster = try GoldenCluster(golden)
        let plans = cluster.planWalk(family)
        let rules = RuleWalk(try RuleSet(wanted: cluster.batch(family)), local: cluster.local)
        let packets = Probes(cluster.state, cluster.node, cluster.nodePlan(family)).packets(limit: 250)
        let found = disagreements(on: packets, plans.fate) { rules.walk($0, order: $1).fate }
        #expect(found.isEmpty, "\(found.count): \(found.prefix(3))")
    }
}
