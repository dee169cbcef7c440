import GoldenSupport
import ProxyCore
import TestSupport
import Testing

/// What is said of a change to ipvs mode, held to where packets end in both modes.
@Suite("Comparison of other modes with ipvs mode")
struct IPVSModeComparisonTests {
    private func compare(_ golden: GoldenCase, _ from: ProxyMode, _ to: ProxyMode) throws -> ModeComparison {
        func side(_ mode: ProxyMode) throws -> ModeComparison.Side {
            let cluster = try GoldenCluster(golden, mode: mode)
            return .init(mode: mode, node: cluster.nodePlan(.ipv4), plans: cluster.plans(.ipv4).all)
        }
        let cluster = try GoldenCluster(golden, mode: to)
        return ModeComparison(
            from: try side(from), to: try side(to), local: cluster.facts.addresses,
            serviceRanges: cluster.state.serviceRanges(.ipv4))
    }

    /// The service port whose address and port, or whose node port, a packet goes to.
    private func subject(_ packet: Packet, _ plans: [ServicePlan], _ local: LocalAddresses)
        -> ServicePortName?
    {
        plans.first { plan in
            guard plan.name.protocol == packet.protocol else { return false }
            let addresses = [plan.clusterIP] + plan.externalIPs + plan.loadBalancerIPs
            return plan.port == packet.port && addresses.contains(packet.destination)
                || plan.nodePort == packet.port && plan.nodePort != 0 && local.contains(packet.destination)
        }?.name
    }

    private func end(_ walk: PlanWalk, _ packet: Packet) -> String {
        let outcome = walk.fate(of: packet, order: .host).outcome
        return outcome == "ACCEPT" ? "-" : outcome
    }

    @Test("names exactly the services that packets fare otherwise with", arguments: GoldenCase.all)
    func subjects(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden, mode: .ipvs)
        let (local, plans) = (cluster.local, Array(cluster.plans(.ipv4).all))
        let new = cluster.planWalk(.ipv4)
        let name = "flows.iptables.v4.tsv"
        let rows = try golden.expected(name).map {
            try FlowTable.read(String(decoding: $0, as: UTF8.self), name: golden.path(name))
        }
        for mode in [ProxyMode.iptables, .nftables] {
            let old = try GoldenCluster(golden, mode: mode).planWalk(.ipv4)
            let named = Set(try compare(golden, mode, .ipvs).differences.map(\.service))
            var seen: Set<ServicePortName> = []
            var probed: Set<ServicePortName> = []
            for packet in (rows ?? []).map(\.packet) {
                guard let subject = subject(packet, plans, local) else { continue }
                probed.insert(subject)
                // The node's own meet no refusal in iptables mode, and in ipvs mode source ranges ask for another
                // address of it than its own.
                if local.contains(packet.source), ["-", "DROP"].contains(end(old, packet)) { continue }
                if end(old, packet) != end(new, packet) { seen.insert(subject) }
            }
            #expect(named.intersection(probed).sorted() == seen.sorted(), "\(mode)")
        }
    }

    @Test("says in sentences what becomes of policy Local, and of ports that no service has")
    func sentences() throws {
        let golden = GoldenCase.named("loadbalancer-local-no-local")
        let comparison = try compare(golden, .iptables, .ipvs)
        #expect(
            comparison.general == [
                "packets to a port of a cluster IP that its Service does not have are rejected in mode ipvs, and left "
                    + "alone in mode iptables",
                "packets to a port of an external IP or a load-balancer IP that its Service does not have are rejected "
                    + "in mode ipvs, and left alone in mode iptables",
            ])
        #expect(
            comparison.differences.map(\.sentence) == [
                "node port 31000 answers on 127.0.0.1 in mode iptables, and not in mode ipvs",
                "external traffic is dropped in mode iptables, and goes to every endpoint in mode ipvs",
            ])
        let here = GoldenCase.named("loadbalancer-local")
        #expect(
            try compare(here, .ipvs, .nftables).differences.map(\.sentence) == [
                "traffic of this node and its pods to the external addresses and the node port goes to the endpoints of "
                    + "this node alone in mode ipvs, and goes to every endpoint in mode nftables"
            ])
    }
}
