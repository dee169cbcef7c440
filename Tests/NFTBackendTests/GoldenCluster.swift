import GoldenSupport
import NFTBackend
import ProxyCore
import TestSupport
import Testing

extension GoldenCluster {
    init(_ golden: GoldenCase) throws { try self.init(golden, mode: .nftables) }

    func sharedMaps(_ family: IPFamily) -> SharedMapsTable {
        var table = SharedMapsTable(node: nodePlan(family), serviceRanges: state.serviceRanges(family))
        table.update(.init(changed: Array(plans(family).all)))
        return table
    }
}

extension GoldenCase {
    /// The rows of the flows table of nftables mode; none for the clusters that tell pods by their interface.
    ///
    /// Without those of a pod that may reach itself and is spelled otherwise than addresses are printed (`fd00:0::1`):
    /// the tracer that made the tables compared texts, and took it for another.
    func flows(_ family: IPFamily) throws -> [FlowTable.Row] {
        let name = "flows.nftables.\(family == .ipv4 ? "v4" : "v6").tsv"
        guard let bytes = expected(name) else { return [] }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { line in
            let source = String(line.prefix { $0 != "\t" })
            guard let address = IPAddress(source)?.description, address != source else { return true }
            return !line.contains("[\(address)]:")
        }
        return try FlowTable.read(lines.joined(separator: "\n"), name: path(name))
    }

    /// kube-proxy's table.
    func kubeProxyText(_ family: IPFamily) throws -> [UInt8] {
        let name = "nftables.\(family == .ipv4 ? "v4" : "v6").nft"
        return try #require(expected(name), "\(name) is missing")
    }
}
