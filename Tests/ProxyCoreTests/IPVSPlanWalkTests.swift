import ProxyCore
import TestSupport
import Testing

@Suite("PlanWalk in ipvs mode")
struct IPVSPlanWalkTests {
    private var cluster: WalkedCluster = {
        var cluster = WalkedCluster()
        cluster.mode = .ipvs
        return cluster
    }()

    @Test("every address leads to every endpoint, and marks sources as the sets do")
    func addresses() throws {
        #expect(try cluster.end(pod, clusterIP, 80) == all)
        for source in [node, client] { #expect(try cluster.end(source, clusterIP, 80) == "\(all) masqueraded") }
        for source in [pod, node, client] {
            for (address, port) in [(externalIP, UInt16(80)), (loadBalancerIP, 80), (node, 31_000)] {
                #expect(try cluster.end(source, address, port) == "\(all) masqueraded")
            }
        }
        let hairpin = try cluster.fate("10.180.1.9", clusterIP, 80)
        #expect(hairpin.branches.map(\.source) == [.unchanged, .masqueraded, .unchanged])
        // Rules let loopback addresses go on.
        #expect(try cluster.end(loopback, node, 31_000) == all)
    }

    @Test("without a way to tell pods, only the node's question to itself is masqueraded")
    func noDetector() throws {
        var cluster = cluster
        cluster.configuration.clusterCIDRs = []
        #expect(try cluster.end(client, clusterIP, 80) == all)
        #expect(try cluster.end(clusterIP, clusterIP, 80) == "\(all) masqueraded")
        cluster.configuration.iptables.masqueradeAll = true
        #expect(try cluster.end(pod, clusterIP, 80) == "\(all) masqueraded")
    }

    @Test("another port of a service's address rejects, and an address that no service has is left alone")
    func otherPorts() throws {
        for source in [pod, node, client] {
            for address in [clusterIP, externalIP, loadBalancerIP] {
                #expect(try cluster.end(source, address, 81) == "REJECT")
            }
            #expect(try cluster.end(source, "172.30.1.2", 80) == "-")
            #expect(try cluster.end(source, node, 80) == "-")
        }
    }

    @Test("without endpoints the empty virtual server rejects, wherever it stands")
    func noEndpoint() throws {
        var cluster = cluster
        cluster.endpoints = [:]
        for source in [pod, node, client] {
            for (address, port) in [(clusterIP, UInt16(80)), (externalIP, 80), (loadBalancerIP, 80), (node, 31_000)] {
                #expect(try cluster.end(source, address, port) == "REJECT")
            }
        }
    }

    @Test("policy Local is the same for pods and clients, and falls back to all endpoints")
    func local() throws {
        var cluster = cluster
        cluster.service.externalTrafficPolicy = .local
        for source in [pod, node, client] { #expect(try cluster.end(source, externalIP, 80) == here) }
        cluster.endpoints["10.180.1.9"] = nil
        for (address, port) in [(externalIP, UInt16(80)), (loadBalancerIP, 80), (node, 31_000)] {
            #expect(try cluster.end(client, address, port) == "10.180.0.9:8080,10.180.2.9:8080")
        }
    }

    @Test("an endpoint of the node itself sees clients as they are, and the node masqueraded")
    func endpointOfNode() throws {
        var cluster = cluster
        cluster.endpoints = [node: "node1"]
        #expect(try cluster.end(client, externalIP, 80) == "\(node):8080")
        #expect(try cluster.end(node, externalIP, 80) == "\(node):8080 masqueraded")
    }

    @Test("source ranges drop others, with endpoints or without, and the node where it asks from the IP itself")
    func sourceRanges() throws {
        var cluster = cluster
        cluster.service.loadBalancerSourceRanges = ["203.0.113.0/25"].compactMap { CIDR($0) }
        #expect(try cluster.end(client, loadBalancerIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(stranger, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(pod, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(stranger, externalIP, 80) == "\(all) masqueraded")
        #expect(try cluster.end(loadBalancerIP, loadBalancerIP, 80) == "DROP")
        #expect(try cluster.end(node, loadBalancerIP, 80) == "\(all) masqueraded")
        cluster.endpoints = [:]
        #expect(try cluster.end(client, loadBalancerIP, 80) == "REJECT")
        #expect(try cluster.end(stranger, loadBalancerIP, 80) == "DROP")
        cluster.service.loadBalancerSourceRanges.append(contentsOf: ["192.168.0.0/24"].compactMap { CIDR($0) })
        #expect(try cluster.end(loadBalancerIP, loadBalancerIP, 80) == "REJECT")
    }

    @Test("node ports are on the node's addresses alone, and health-check ports are let in")
    func nodePorts() throws {
        var cluster = cluster
        #expect(try cluster.end(loopback, loopback, 31_000) == "-")
        #expect(try cluster.end(client, clusterIP, 31_000) == "REJECT")
        cluster.service.externalTrafficPolicy = .local
        cluster.service.healthCheckNodePort = 32_001
        #expect(try cluster.end(client, node, 32_001) == "ACCEPT")
        #expect(try cluster.end(client, loadBalancerIP, 32_001) == "ACCEPT")
        #expect(try cluster.end(client, "192.168.0.3", 32_001) == "-")
        cluster.configuration.nodePortAddresses = .cidrs(["10.0.0.0/8"].compactMap { CIDR($0) })
        #expect(try cluster.end(client, node, 31_000) == "-")
    }

    @Test("an address of two services is the last one's, by name, whether it has endpoints or not")
    func twoServices() throws {
        #expect(try outcomeOfTwo(.ipvs, clusterIP) == "10.180.0.9:2")
        #expect(try outcomeOfTwo(.ipvs, externalIP, local: "", without: "b") == "REJECT")
        #expect(try outcomeOfTwo(.ipvs, loadBalancerIP, local: "", admitting: "a") == "10.180.0.9:2")
    }
}
