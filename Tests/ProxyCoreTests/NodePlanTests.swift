import ProxyCore
import Testing

@Suite("NodePlan")
struct NodePlanTests {
    private func plan(
        mode: ProxyMode = .iptables, family: IPFamily = .ipv4, _ change: (inout ProxyConfiguration) -> Void = { _ in }
    ) -> NodePlan {
        var node = Node(name: "node1")
        node.internalIPs = ["192.168.0.2", "2001:db8::2"].compactMap(IPAddress.init)
        node.externalIPs = ["203.0.113.77"].compactMap(IPAddress.init)
        node.podCIDRs = ["10.180.1.0/24", "fd00:10:180:1::/64"].compactMap(CIDR.init)
        var configuration = ProxyConfiguration()
        change(&configuration)
        return NodePlan(
            configuration, mode: mode, family: family, nodeName: "node1", node: node, facts: HostFacts(of: node))
    }

    private func ranges(_ texts: String...) -> ProxyConfiguration.NodePortAddresses {
        .cidrs(texts.compactMap(CIDR.init))
    }

    private func scope(_ texts: String...) -> NodePlan.NodePortScope { .addresses(texts.compactMap(IPAddress.init)) }

    @Test("node ports are on every address by default, but on nftables on the node's own")
    func defaults() {
        #expect(plan().nodePorts == .everyLocalAddress(exceptLoopback: false))
        #expect(plan(family: .ipv6).nodePorts == .everyLocalAddress(exceptLoopback: true))
        #expect(plan(mode: .nftables).nodePorts == scope("192.168.0.2"))
        #expect(plan(mode: .ipvs).nodePorts == .everyLocalAddress(exceptLoopback: true))
    }

    @Test("ranges choose among the host's addresses, each once, in the order of their texts")
    func chosen() {
        #expect(
            plan { $0.nodePortAddresses = ranges("203.0.113.0/24", "192.168.0.0/16") }.nodePorts
                == scope("192.168.0.2", "203.0.113.77"))
        #expect(plan { $0.nodePortAddresses = ranges("127.0.0.0/8") }.nodePorts == scope("127.0.0.1"))
        #expect(plan { $0.nodePortAddresses = ranges("198.51.100.0/24") }.nodePorts == scope())
    }

    @Test("ranges of the other family alone leave this family every address")
    func otherFamily() {
        #expect(
            plan(family: .ipv6) { $0.nodePortAddresses = ranges("192.168.0.0/16") }.nodePorts
                == .everyLocalAddress(exceptLoopback: true))
    }

    @Test("loopback is guarded while node ports are served on it")
    func loopback() {
        #expect(plan().guardsLoopback)
        #expect(!plan(family: .ipv6).guardsLoopback)
        #expect(!plan { $0.iptables.localhostNodePorts = false }.guardsLoopback)
        #expect(!plan { $0.nodePortAddresses = .primary }.guardsLoopback)
        #expect(plan { $0.nodePortAddresses = ranges("127.0.0.0/8") }.guardsLoopback)
        let off = plan {
            $0.nodePortAddresses = ranges("127.0.0.0/8")
            $0.iptables.localhostNodePorts = false
        }
        #expect(off.nodePorts == scope())
    }

    @Test("pods are recognised by what the configuration names")
    func detectors() {
        #expect(plan().localDetector == .none)
        #expect(plan { $0.detectLocalMode = .nodeCIDR }.localDetector == CIDR("10.180.1.0/24").map { .source($0) })
        let bridge = plan {
            $0.detectLocalMode = .bridgeInterface
            $0.bridgeInterface = "cni0"
        }
        #expect(bridge.localDetector == .bridge("cni0"))
        #expect(bridge.context.detectsLocalTraffic)
    }

    @Test("the node's address is the bind address, else its first internal one, else loopback")
    func nodeIP() {
        #expect(plan().context.nodeIP == IPAddress("192.168.0.2"))
        #expect(plan { $0.bindAddress = IPAddress(ipv4: 0xcb00_714d) }.context.nodeIP == IPAddress("203.0.113.77"))
        let unknown = NodePlan(
            ProxyConfiguration(), mode: .iptables, family: .ipv6, nodeName: "", node: nil, facts: HostFacts(of: nil))
        #expect(unknown.context.nodeIP == .loopback(.ipv6))
    }
}
