import GoldenSupport
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
            try expectFlows(golden, family, walk)
        }
    }

    @Test("are those of a walk through the table of shared maps", arguments: GoldenCase.all)
    func sharedMaps(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden)
        for family in IPFamily.allCases {
            let walk = NFTWalk(cluster.sharedMaps(family).kernelTable(), local: cluster.local)
            try expectFlows(golden, family, walk)
        }
    }

    @Test("are those of a walk over the plans", arguments: GoldenCase.all)
    func plans(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden)
        for family in IPFamily.allCases {
            let walk = cluster.planWalk(family)
            let differences = differences(try golden.flows(family)) { walk.fate(of: $0, order: .tracer) }
            #expect(differences == "", "\(differences)")
        }
    }

    @Test("end alike in the plans and in the table of shared maps, in either order", arguments: GoldenCase.all)
    func agree(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden)
        for family in IPFamily.allCases {
            let rules = NFTWalk(cluster.sharedMaps(family).kernelTable(), local: cluster.local)
            let packets = Probes(cluster.state, cluster.node, cluster.nodePlan(family)).packets(limit: 100)
            let found = disagreements(on: packets, cluster.planWalk(family).fate, rules.fate)
            #expect(found.isEmpty, "\(found.count): \(found.prefix(3))")
        }
    }

    /// Every row ends where it should, and there is nothing that the walk could not tell.
    private func expectFlows(_ golden: GoldenCase, _ family: IPFamily, _ walk: NFTWalk) throws {
        var notes: Set<String> = []
        let differences = differences(try golden.flows(family)) { packet in
            let result = walk.walk(packet, order: .tracer)
            notes.formUnion(result.notes)
            return result.fate
        }
        #expect(differences == "", "\(differences)")
        #expect(notes == [])
    }

    @Test("are there")
    func found() throws {
        for (family, count) in [(IPFamily.ipv4, 2000), (.ipv6, 600)] {
            #expect(try GoldenCase.all.reduce(0) { $0 + (try $1.flows(family).count) } > count)
        }
    }
}
