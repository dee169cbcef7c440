import Foundation
import TestSupport
import Testing

@Suite("Daemon, its life", .daemonKernel)
struct DaemonLifeTests {
    @Test(
        "SIGTERM ends it in order, after the commit at hand, with the rules in place",
        arguments: TrafficLabs.Variant.iptables)
    func stop(_ variant: TrafficLabs.Variant) async throws {
        let node = try DaemonNode(variant)
        try await node.startAndSettle()
        let probe = try ConnectionProbe(node)
        let first = try #require(node.daemon)
        #expect(first.stop() == 0)
        #expect(!FileManager.default.fileExists(atPath: first.statusSocket.path))
        #expect(first.log.contains("the rules stay in place"))
        #expect(try await node.settle() == "")

        // Again while a commit is open.
        let second = try node.start()
        #expect(await node.waitUntilHealthy(), "\(second.log)")
        try node.gate.hold(1, at: .middle)
        try node.write(NodeService(name: "other", number: 20, endpoints: [5]).manifest, to: "other.json")
        #expect(await node.gate.waitUntilHeld(1), "\(second.log)")
        kill(second.pid, SIGTERM)
        try await Task.sleep(for: .milliseconds(300))
        #expect(kill(second.pid, 0) == 0, "it waits for the commit")
        try node.gate.letGo(1)
        #expect(second.stop() == 0)
        // The other family may not have begun.
        #expect(try await node.settle(.seconds(10), "ipv4") == "", "\(second.log)")
        let (succeeded, failed) = try probe.stop()
        #expect(failed == [] && succeeded > 10)
    }

    @Test("a changed configuration is taken over with no moment without rules", arguments: TrafficLabs.Variant.iptables)
    func configuration(_ variant: TrafficLabs.Variant) async throws {
        let node = try DaemonNode(variant)
        try await node.startAndSettle()
        let daemon = try #require(node.daemon)
        let probe = try ConnectionProbe(node)
        let masqueraded = "! -s 10.1.0.0/16"
        #expect(!(try node.shell("$IPT-save -t nat").contains(masqueraded)))
        try node.configure(settings: "clusterCIDR: 10.1.0.0/16,fd00:1::/64")
        #expect(try await node.settle() == "", "\(daemon.log)")
        #expect(try node.shell("$IPT-save -t nat").contains(masqueraded))
        try node.configure(masqueradeAll: true, settings: "nodePortAddresses: [10.1.0.2/32, 'fd00:1::/64']")
        #expect(try await node.settle() == "", "\(daemon.log)")
        #expect(!(try node.shell("$IPT-save -t nat").contains(masqueraded)))
        #expect(try node.shell("$IPT -t nat -S KUBE-SERVICES").contains("-d 10.1.0.2/32"))

        // One with a fault: the last good one holds.
        let good = try String(contentsOf: node.configurationFile, encoding: .utf8)
        let rules = try node.shell("$IPT-save | grep -v '^[#:]'")
        try node.replace(node.configurationFile, with: good.replacingOccurrences(of: "30s", with: "soon"))
        let isTold = await DaemonProcess.wait(.seconds(60)) {
            node.status()?.problems.contains { $0.contains("is not taken over") && $0.contains("soon") } == true
        }
        #expect(isTold, "\(daemon.log)")
        #expect(try node.shell("$IPT-save | grep -v '^[#:]'") == rules)

        // And with another period, which the next damage shows.
        try node.configure(syncPeriod: "2s", masqueradeAll: true)
        #expect(await node.waitUntilHealthy(), "\(daemon.log)")
        #expect(await node.wait { $0.lastCheck?.findings == 0 }, "\(daemon.log)")
        #expect(try await node.settle() == "", "\(daemon.log)")
        let (succeeded, failed) = try probe.stop()
        #expect(failed == [], "of \(succeeded) connections; \(daemon.log)")
        #expect(succeeded > 50)
        #expect(daemon.stop() == 0)
    }

    @Test("on a node without rules the API server is served first", arguments: TrafficLabs.Variant.iptables)
    func essentialFirst(_ variant: TrafficLabs.Variant) async throws {
        let node = try DaemonNode(variant, family: "ipv4")
        var services = [NodeService(name: "kubernetes", number: 1, port: 443, endpoints: [2])]
        services += (0..<1200).map { NodeService(name: "service-\($0)", number: 1000 + $0, endpoints: [100 + $0]) }
        try node.write(NodeService.manifests(services), to: "services.json")
        try node.gate.record()
        try node.start()
        #expect(await node.waitUntilHealthy(), "\(node.daemon?.log ?? "")")
        let inputs = node.gate.recorded
        let first = try #require(inputs.first)
        try #require(inputs.count > 1)
        // The shared chains and the one service, with the jumps: it is reachable.
        #expect(first.contains("default/kubernetes:http") && first.contains("-j KUBE-SERVICES\n"))
        #expect(first.split(separator: "\n").count { $0.hasPrefix(":KUBE-SVC-") } == 1)
        #expect(!first.contains("default/service-"))
        #expect(inputs.last?.contains("default/service-1199:http") == true)
        #expect(try await node.settle() == "")
    }
}
