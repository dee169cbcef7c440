import GoldenSupport
import NFTBackend
import ProxyCore
import TestSupport
import Testing

/// Clients that a table remembers. The service has the endpoints 10.180.0.9, 10.180.1.9 and 10.180.2.9.
@Suite("Walk of remembered clients")
struct AffinityWalkTests {
    private let cluster: GoldenCluster
    private let client = IPAddress(ipv4: 0xcb00_7105)
    private static let clientBytes: [UInt8] = [203, 0, 113, 5]
    private static let all = "10.180.0.9:8080,10.180.1.9:8080,10.180.2.9:8080"

    init() throws {
        cluster = try GoldenCluster(.named("affinity"))
    }

    /// Where packets of the client and of another one end.
    private func outcomes(_ table: NFTKernelTable) throws -> [String] {
        let walk = NFTWalk(table, local: cluster.local)
        return try [client, IPAddress(ipv4: 0xcb00_7106)].map { source in
            let packet = Packet(from: source, to: IPAddress(ipv4: 0xac1e_0101), port: 80, protocol: .tcp)
            let result = walk.walk(try #require(packet), order: .host)
            #expect(result.notes == [])
            return result.fate.outcome
        }
    }

    @Test("has the remembered endpoint in kube-proxy's table")
    func kubeProxy() throws {
        let (wanted, elements) = KubeProxyLayout.ruleset(
            node: cluster.nodePlan(.ipv4), plans: cluster.plans(.ipv4).all,
            serviceRanges: cluster.state.serviceRanges(.ipv4))
        var table = NFTKernelTable(compiling: wanted, elements: elements)
        let place = try #require(
            table.sets.firstIndex { $0.name.hasPrefix("affinity-") && $0.name.hasSuffix("__10.180.2.9/8080") })
        table.sets[place].elements.append(.init(key: Self.clientBytes))
        #expect(try outcomes(table) == ["10.180.2.9:8080", Self.all])
    }

    @Test("has the remembered endpoint in the table of shared maps, and any where that one is gone")
    func sharedMaps() throws {
        var table = cluster.sharedMaps(.ipv4).kernelTable()
        let service = try #require(table.sets.first { $0.name == "picks" }?.elements.first?.key.prefix(4))
        // The endpoint's address, 10.180.2.9, begins the datum.
        let ids = try #require(table.sets.first { $0.name == "endpoint-ids" }?.elements)
        let id = try #require(
            ids.first { if case .bytes(let bytes) = $0.datum { bytes.starts(with: [10, 180, 2, 9]) } else { false } })
        let place = try #require(table.sets.firstIndex { $0.name == "affinity" })
        let remembered = Self.clientBytes + service
        table.sets[place].elements = [.init(key: remembered, datum: .bytes(id.key))]
        #expect(try outcomes(table) == ["10.180.2.9:8080", Self.all])
        table.sets[place].elements = [.init(key: remembered, datum: .bytes([0, 0x7f, 0xff, 0xff]))]
        #expect(try outcomes(table) == [Self.all, Self.all])
    }
}
