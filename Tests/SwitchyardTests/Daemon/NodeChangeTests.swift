import TestAPIServer
import TestSupport
import Testing

extension APIServerTests {
    @Test("A change of the node's zone plans anew what has hints", arguments: variants)
    func zone(_ variant: String) async throws {
        let lab = try await APIServerLab(variant)
        let hinted = ServedObjects.slice("plain", endpoints: [1, 2, 3, 4], hintedZones: ["zone-a", "zone-b"])
        try await lab.set(hinted)
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        try await lab.set(ServedObjects.node(zone: "zone-b"))
        try await lab.expectRulesToFollow(daemon)
        try await lab.set(ServedObjects.node(zone: "zone-c"))
        try await lab.expectRulesToFollow(daemon)
    }

    private static let nodeCIDR = "detectLocalMode: NodeCIDR"
    private static let withoutRanges = ServedObjects.node(podCIDRs: [])

    @Test("By NodeCIDR nothing is written before the node has ranges, and others are taken over", arguments: variants)
    func podCIDRs(_ variant: String) async throws {
        let lab = try await APIServerLab(variant, configuration: Self.nodeCIDR)
        try await lab.set(Self.withoutRanges)
        let daemon = try lab.startDaemon()
        let isListed = await DaemonProcess.wait { daemon.syncedKinds.count == 4 }
        #expect(isListed)
        try await Task.sleep(for: .seconds(1))
        #expect(try !lab.hasChains())
        try await lab.set(ServedObjects.node())
        try await lab.expectRulesToFollow(daemon)
        try await lab.set(ServedObjects.node(podCIDRs: ["10.180.77.0/24", "fd00:10:180:77::/64"]))
        try await lab.expectRulesToFollow(daemon)
        #expect(try lab.namespace.require(["iptables-\(variant)-save"]).contains("10.180.77.0/24"))
    }

    @Test("What was known of a node holds while its object is registered anew")
    func registeredAnew() async throws {
        let lab = try await APIServerLab("legacy", configuration: Self.nodeCIDR)
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        try await lab.delete(ServedObjects.node())
        try await lab.expectRulesToHold(for: .seconds(1), daemon)
        // The services go on meanwhile.
        try await lab.set(ServedObjects.slice("plain", endpoints: [9]))
        try await lab.set(Self.withoutRanges)
        let isFollowed = await DaemonProcess.wait { daemon.log.contains("the Node object is gone") }
        #expect(isFollowed)
        // `diff` is told what was known.
        try await lab.expectRulesToFollow(daemon) { $0.set(ServedObjects.node()) }
        try await lab.set(ServedObjects.node(podCIDRs: ["10.180.78.0/24", "fd00:10:180:78::/64"]))
        try await lab.expectRulesToFollow(daemon)
    }

    @Test("Ranges of cluster IPs come, change and go, and disturb no rule", arguments: [true, false])
    func serviceCIDR(isKnownToServer: Bool) async throws {
        let lab = try await APIServerLab()
        if !isKnownToServer { try await lab.server.fail(Fault(.status(code: 404), resource: "servicecidrs")) }
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        #expect(daemon.syncedKinds.contains("ServiceCIDR"))
        #expect(daemon.interruptions.isEmpty)
        // One of each family; a line of the log comes after the rules.
        let syncs = 2
        #expect(await DaemonProcess.wait { daemon.syncCount == syncs }, "\(daemon.log)")
        try await lab.set(ServedObjects.serviceCIDR(["172.31.0.0/16"]))
        try await lab.expectRulesToHold(for: .seconds(1), daemon)
        try await lab.delete(ServedObjects.serviceCIDR())
        try await lab.expectRulesToHold(for: .seconds(1), daemon)
        #expect(daemon.syncCount == syncs)
        try await lab.changeObjects()
        try await lab.expectRulesToFollow(daemon)
        #expect(await DaemonProcess.wait { daemon.syncCount > syncs }, "\(daemon.log)")
        await daemon.expectRecovery()
    }
}
