import NFTBackend
import ProxyCore
import TestSupport
import Testing

/// Every row of kube-proxy's flows in nftables mode.
@Suite("Flows of nftables mode")
struct FlowTests {
    @Test("are those of a walk through kube-proxy's own table", arguments: GoldenCase.all)
    func kubeProxy(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden)
        for family in IPFamily.allCases {
            let read = try NFTTextReader.read(String(decoding: try golden.kubeProxyText(family), as: UTF8.self))
            let walk = NFTWalk(NFTKernelTable(compiling: read.table, elements: read.elements), local: cluster.local)
            let differences = differences(try golden.flows(family)) { walk.fate(of: $0, order: .tracer) }
            #expect(differences == "", "\(differences)")
        }
    }

    @Test("are those of a walk through the table of shared maps", arguments: GoldenCase.all)
    func sharedMaps(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden)
        for family in IPFamily.allCases {
            let walk = NFTWalk(cluster.sharedMaps(family).kernelTable(), local: cluster.local)
            let differences = differences(try golden.flows(family)) { walk.fate(of: $0, order: .tracer) }
            #expect(differences == "", "\(differences)")
        }
    }

    @Test("are there")
    func found() throws {
        for (family, count) in [(IPFamily.ipv4, 2000), (.ipv6, 600)] {
            #expect(try GoldenCase.all.reduce(0) { $0 + (try $1.flows(family).count) } > count)
        }
    }
}
