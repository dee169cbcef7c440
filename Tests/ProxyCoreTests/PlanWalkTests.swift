import ProxyCore
import TestSupport
import Testing

@Suite("PlanWalk")
struct PlanWalkTests {
    @Test("a cluster IP leads to every endpoint alike; only sources that are not pods are masqueraded")
    func internalCluster() throws {
        let cluster = WalkedCluster()
        #expect(try cluster.end(pod, clusterIP, 80) == all)
        #expect(try cluster.end(node, clusterIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(client, clusterIP, 80) == "\(all) masqueraded")
        let shares = try cluster.fate(pod, clusterIP, 80).branches.map(\.share)
        #expect(shares.count == 3 && shares.allSatisfy { abs($0 - 1 / 3) < 1e-9 })
        #expect(try cluster.end(pod, clusterIP, 81) == "-")
    }

    @Test("an endpoint that reaches itself is masqueraded, the others are not")
    func hairpin() throws {
        let fate = try WalkedCluster().fate("10.180.1.9", clusterIP, 80)
        #expect(fate.outcome == all)
        #expect(fate.branches.map(\.source) == [.unchanged, .masqueraded, .unchanged])
    }

    @Test("masqueradeAll masquerades pods too, and without a detector nobody is masqueraded")
    func masqueradeAll() throws {
        var cluster = WalkedCluster()
        cluster.configuration.iptables.masqueradeAll = true
        #expect(try cluster.end(pod, clusterIP, 80) == "\(all) masqueraded")
        cluster.configuration.iptables.masqueradeAll = false
        cluster.configuration.clusterCIDRs = []
        #expect(try cluster.end(client, clusterIP, 80) == all)
    }

    @Test("external destinations are masqueraded under policy Cluster", arguments: [externalIP, loadBalancerIP])
    func externalCluster(_ address: String) throws {
        for source in [pod, node, client] {
            #expect(try WalkedCluster().end(source, address, 80) == "\(all) masqueraded")
        }
    }

    @Test("policy Local keeps a client's source, and lets pods and the node reach every endpoint")
    func externalLocal() throws {
        var cluster = WalkedCluster()
        cluster.service.externalTrafficPolicy = .local
        for (address, port) in [(externalIP, UInt16(80)), (loadBalancerIP, 80), (node, 31_000)] {
            #expect(try cluster.end(client, address, port) == here)
            #expect(try cluster.end(pod, address, port) == all)
            #expect(try cluster.end(node, address, port) == "\(all) masqueraded")
        }
    }

    @Test("policy Local without a local endpoint drops what comes from outside, wherever it would go")
    func noLocalEndpoint() throws {
        var cluster = WalkedCluster()
        cluster.service.externalTrafficPolicy = .local
        cluster.endpoints["10.180.1.9"] = nil
        let rest = "10.180.0.9:8080,10.180.2.9:8080"
        for (address, port) in [(externalIP, UInt16(80)), (loadBalancerIP, 80), (node, 31_000)] {
            #expect(try cluster.end(client, address, port) == "DROP")
            #expect(try cluster.end(pod, address, port) == rest)
        }
        cluster.service.internalTrafficPolicy = .local
        #expect(try cluster.end(pod, clusterIP, 80) == "DROP")
    }

    @Test("no endpoint rejects; the node asks external IPs in vain, as nothing of OUTPUT looks at them")
    func noEndpoint() throws {
        var cluster = WalkedCluster()
        cluster.endpoints = [:]
        for source in [pod, node, client] { #expect(try cluster.end(source, clusterIP, 80) == "REJECT") }
        for source in [pod, node, client, loopback] { #expect(try cluster.end(source, node, 31_000) == "REJECT") }
        #expect(try cluster.end(client, externalIP, 80) == "REJECT")
        #expect(try cluster.end(node, externalIP, 80) == "-")
        #expect(try cluster.end(node, externalIP, 80, order: .tracer) == "REJECT")
    }

    @Test("source ranges are for load-balancer IPs alone, and admit the node by its own addresses there")
    func sourceRanges() throws {
        var cluster = WalkedCluster()
        cluster.service.loadBalancerSourceRanges = ["203.0.113.0/25", "192.168.0.0/24"].compactMap { CIDR($0) }
        #expect(try cluster.end(client, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(pod, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(node, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(loadBalancerIP, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, externalIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, node, 31_000) == "\(all) masqueraded")
    }

    @Test("node ports are served on the addresses that the configuration names")
    func nodePorts() throws {
        var cluster = WalkedCluster()
        #expect(try cluster.end(loopback, loopback, 31_000) == "\(all) masqueraded")
        #expect(try cluster.end(client, "192.168.0.3", 31_000) == "-")
        cluster.configuration.iptables.localhostNodePorts = false
        #expect(try cluster.end(loopback, loopback, 31_000) == "-")
        cluster.configuration.nodePortAddresses = .cidrs(["10.0.0.0/8"].compactMap { CIDR($0) })
        #expect(try cluster.end(client, node, 31_000) == "-")
    }

    @Test("the health-check port is let in on a host; the tracer asks for no address")
    func healthCheck() throws {
        var cluster = WalkedCluster()
        cluster.service.externalTrafficPolicy = .local
        cluster.service.healthCheckNodePort = 32_001
        #expect(try cluster.end(client, node, 32_001) == "ACCEPT")
        #expect(try cluster.end(client, "192.168.0.3", 32_001) == "-")
        #expect(try cluster.end(client, "192.168.0.3", 32_001, order: .tracer) == "ACCEPT")
    }

    @Test("what comes in for an endpoint on the node's own network is not masqueraded: it passes no POSTROUTING")
    func endpointOnHostNetwork() throws {
        var cluster = WalkedCluster()
        cluster.endpoints = [node: "node1"]
        #expect(try cluster.end(client, node, 31_000) == "\(node):8080")
        #expect(try cluster.end(client, node, 31_000, order: .tracer) == "\(node):8080 masqueraded")
        #expect(try cluster.end(pod, clusterIP, 80) == "\(node):8080")
    }

    @Test("packets of other hosts to loopback are dropped while node ports are served there")
    func loopbackGuard() throws {
        var cluster = WalkedCluster()
        #expect(try cluster.end(client, loopback, 22) == "DROP")
        #expect(try cluster.end(loopback, loopback, 22) == "-")
        cluster.configuration.iptables.localhostNodePorts = false
        #expect(try cluster.end(client, loopback, 22) == "-")
    }

    @Test("an address of two services goes to the first that takes the packet, in the order of names")
    func twoServices() throws {
        #expect(try outcomeOfTwo(.iptables, clusterIP) == "10.180.0.9:1")
        // The first has no local endpoint and lets the packet fall through.
        #expect(try outcomeOfTwo(.iptables, externalIP) == "10.180.0.9:2")
        #expect(try outcomeOfTwo(.iptables, externalIP, local: "b", without: "a") == "REJECT")
    }
}

@Suite("PlanWalk in nftables mode")
struct NFTablesPlanWalkTests {
    private var cluster: WalkedCluster = {
        var cluster = WalkedCluster()
        cluster.mode = .nftables
        return cluster
    }()

    @Test("another port of a cluster IP rejects, and an address of the ranges that no service has drops")
    func otherClusterIPs() throws {
        for source in [pod, node, client] {
            #expect(try cluster.end(source, clusterIP, 81) == "REJECT")
            #expect(try cluster.end(source, "172.30.1.2", 80) == "DROP")
            #expect(try cluster.end(source, "172.31.1.1", 80) == "-")
        }
        #expect(try cluster.end(pod, clusterIP, 80) == all)
    }

    @Test("without endpoints the node is rejected at every address, and node ports reject where they are served")
    func noEndpoint() throws {
        var cluster = cluster
        cluster.endpoints = [:]
        for source in [pod, node, client] {
            for address in [clusterIP, externalIP, loadBalancerIP] {
                #expect(try cluster.end(source, address, 80) == "REJECT")
            }
            #expect(try cluster.end(source, node, 31_000) == "REJECT")
        }
        #expect(try cluster.end(loopback, loopback, 31_000) == "-")
        cluster.configuration.nodePortAddresses = .cidrs(["10.0.0.0/8"].compactMap { CIDR($0) })
        #expect(try cluster.end(client, node, 31_000) == "-")
    }

    @Test("policy Local without a local endpoint drops what comes from outside")
    func noLocalEndpoint() throws {
        var cluster = cluster
        cluster.service.externalTrafficPolicy = .local
        cluster.endpoints["10.180.1.9"] = nil
        for (address, port) in [(externalIP, UInt16(80)), (loadBalancerIP, 80), (node, 31_000)] {
            #expect(try cluster.end(client, address, port) == "DROP")
            #expect(try cluster.end(pod, address, port) == "10.180.0.9:8080,10.180.2.9:8080")
        }
    }

    @Test("source ranges hold without endpoints as well")
    func sourceRanges() throws {
        var cluster = cluster
        cluster.service.loadBalancerSourceRanges = ["203.0.113.0/25"].compactMap { CIDR($0) }
        #expect(try cluster.end(client, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(node, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(stranger, externalIP, 80) == "\(all) masqueraded")
        cluster.endpoints = [:]
        #expect(try cluster.end(client, loadBalancerIP, 80) == "REJECT")
        #expect(try cluster.end(stranger, loadBalancerIP, 80) == "DROP")
    }

    @Test("nothing is let in, and nothing is on loopback")
    func noAccept() throws {
        var cluster = cluster
        cluster.service.externalTrafficPolicy = .local
        cluster.service.healthCheckNodePort = 32_001
        #expect(try cluster.end(client, node, 32_001) == "-")
        #expect(try cluster.end(loopback, loopback, 31_000) == "-")
        #expect(try cluster.end(client, loopback, 22) == "-")
    }

    @Test("an endpoint that is an address of the ranges without a service is dropped after the translation")
    func endpointInRanges() throws {
        var cluster = cluster
        cluster.endpoints = ["172.30.200.1": "node2", "10.180.0.9": "node2"]
        #expect(try cluster.end(pod, clusterIP, 80) == "10.180.0.9:8080,DROP")
    }

    @Test("an address of two services is the last one's, by name, in each map")
    func twoServices() throws {
        #expect(try outcomeOfTwo(.nftables, clusterIP) == "10.180.0.9:2")
        #expect(try outcomeOfTwo(.nftables, externalIP) == "10.180.0.9:2")
        // What the last one cannot spread does not fall through to the first.
        #expect(try outcomeOfTwo(.nftables, externalIP, local: "b") == "DROP")
        #expect(try outcomeOfTwo(.nftables, externalIP, local: "b", without: "a") == "DROP")
        // So are the source ranges.
        #expect(try outcomeOfTwo(.nftables, loadBalancerIP, local: "", admitting: "a") == "DROP")
        #expect(try outcomeOfTwo(.nftables, loadBalancerIP, local: "", admitting: "b") == "10.180.0.9:2")
        // One without endpoints has no element in the map of services.
        #expect(try outcomeOfTwo(.nftables, externalIP, local: "", without: "b") == "10.180.0.9:1")
    }
}
