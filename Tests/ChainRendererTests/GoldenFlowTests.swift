import ChainRenderer
import GoldenSupport
import ProxyCore
import TestSupport
import Testing

@Suite("Golden flows")
struct GoldenFlowTests {
    @Test("end in the plans where kube-proxy's rules end them", arguments: GoldenCase.all)
    func plans(_ golden: GoldenCase) throws {
        let rows = try golden.flows()
        guard !rows.isEmpty else { return }
        let walk = try GoldenCluster(golden).planWalk(.ipv4)
        let found = differences(rows) { walk.fate(of: $0, order: .tracer) }
        #expect(found.isEmpty, "\(found)")
    }

    @Test("end in the rules where kube-proxy's end them", arguments: GoldenCase.all)
    func rules(_ golden: GoldenCase) throws {
        let rows = try golden.flows()
        guard !rows.isEmpty else { return }
        let cluster = try GoldenCluster(golden)
        let text = cluster.batch(.ipv4).text
        // One walk is a walk over both: the rendered text and kube-proxy's own.
        try #require(golden.expected("iptables.v4.restore") == text)
        let walk = RuleWalk(try RuleSet(parsing: text, family: .ipv4), local: cluster.local)
        var notes: Set<String> = []
        let found = differences(rows) {
            let result = walk.walk($0, order: .tracer)
            notes.formUnion(result.notes)
            return result.fate
        }
        #expect(found.isEmpty, "\(found)")
        #expect(notes.isEmpty)
    }

    @Test("are found: the clusters written by hand have two thousand")
    func found() throws {
        #expect(try GoldenCase.all.reduce(0) { try $0 + $1.flows().count } >= 2000)
    }
}
