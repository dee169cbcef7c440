import GoldenSupport
import ProxyCore
import TestSupport
import Testing

/// The differences between modes, held to kube-proxy's flows in both.
@Suite("Comparison of iptables with nftables mode")
struct ModeComparisonTests {
    /// A service port, or its node port.
    private struct Subject: Hashable, Comparable {
        var name: ServicePortName
        var nodePort: UInt16

        static func < (left: Self, right: Self) -> Bool {
            left.name == right.name ? left.nodePort < right.nodePort : left.name < right.name
        }
    }

    @Test("names exactly the services and node ports on which the flows differ", arguments: GoldenCase.all)
    func subjects(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden)
        let rows = try golden.flows(.ipv4)
        guard !rows.isEmpty else { return }
        let before = try golden.rows("flows.iptables.v4.tsv")
        let named = comparison(cluster).differences.map { Subject(name: $0.service, nodePort: $0.nodePort) }
        var seen: Set<Subject> = []
        // A large cluster is probed in part.
        let probed = Set(rows.compactMap { subject($0.packet, cluster) })
        for row in rows {
            guard let old = before[row.packet], let new = row.outcome, Self.differ(old, new) else { continue }
            if let subject = subject(of: row.packet, old, new, cluster) { seen.insert(subject) }
        }
        #expect(probed.intersection(named).sorted() == seen.sorted())
    }

    @Test("says once what is so for every cluster IP")
    func general() throws {
        let general = comparison(try GoldenCluster(.named("yaobank"))).general
        #expect(general.count == 2)
        #expect(general.first?.contains("rejected in mode nftables") == true)
        #expect(general.last?.contains("198.19.32.0/20") == true)
        let empty = comparison(try GoldenCluster(.named("empty"))).general
        #expect(empty.count == 1)
    }

    private func comparison(_ cluster: GoldenCluster) -> ModeComparison {
        func side(_ mode: ProxyMode) -> ModeComparison.Side {
            let node = NodePlan(
                cluster.configuration, mode: mode, family: .ipv4, nodeName: cluster.node.name, node: cluster.node,
                facts: HostFacts(of: cluster.node))
            var plans = PlanTable()
            _ = plans.updateAll(from: cluster.state, in: node.context)
            return .init(mode: mode, node: node, plans: plans.all)
        }
        return ModeComparison(
            from: side(.iptables), to: side(.nftables), local: HostFacts(of: cluster.node).addresses,
            serviceRanges: cluster.state.serviceRanges(.ipv4))
    }

    private static func differ(_ old: String, _ new: String) -> Bool {
        let untouched: Set = ["ACCEPT", "-"]
        return old != new && !(untouched.contains(old) && untouched.contains(new))
    }

    /// Whose packet it is; nil for what is so for every cluster IP.
    private func subject(_ packet: Packet, _ cluster: GoldenCluster) -> Subject? {
        for plan in cluster.plans(.ipv4).all where plan.name.protocol == packet.protocol {
            let addresses = [plan.clusterIP] + plan.externalIPs + plan.loadBalancerIPs
            if plan.port == packet.port, addresses.contains(packet.destination) {
                return Subject(name: plan.name, nodePort: 0)
            }
        }
        guard cluster.local.contains(packet.destination) else { return nil }
        let owner = cluster.plans(.ipv4).all.first {
            $0.name.protocol == packet.protocol && $0.nodePort == packet.port && $0.nodePort != 0
        }
        return owner.map { Subject(name: $0.name, nodePort: packet.port) }
    }

    private func subject(of packet: Packet, _ old: String, _ new: String, _ cluster: GoldenCluster) -> Subject? {
        if let subject = subject(packet, cluster) { return subject }
        #expect(old == "-" && (new == "REJECT" || new == "DROP"), "\(packet)")
        return nil
    }
}

extension GoldenCase {
    /// Where each packet of a flows table ends.
    fileprivate func rows(_ name: String) throws -> [Packet: String] {
        let bytes = try #require(expected(name))
        let rows = try FlowTable.read(String(decoding: bytes, as: UTF8.self), name: path(name))
        return Dictionary(rows.map { ($0.packet, $0.outcome ?? "") }) { first, _ in first }
    }
}
