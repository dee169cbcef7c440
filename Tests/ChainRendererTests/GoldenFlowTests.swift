import ChainRenderer
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

    @Test("are found: the clusters written by hand have two thousand")
    func found() throws {
        #expect(try GoldenCase.all.reduce(0) { try $0 + $1.flows().count } >= 2000)
    }
}
