import Foundation
import TestSupport
import Testing

@Suite("switchyard run in ipvs mode", .insideUserModeLinux)
struct IPVSDaemonTests {
    private static let all: Set<String> = ["pod-1", "pod-2", "pod-3"]

    @Test("serves, follows changes by what they touch, and mends what somebody damages")
    func follows() async throws {
        var web = IPVSService(endpoints: [1, 2])
        let lab = try IPVSDaemonLab([web])
        #expect(await lab.daemon.waitUntilHealthy(.seconds(60)), "\(lab.daemon.log)")
        #expect(try lab.answers(web.clusterIP) == ["pod-1", "pod-2"])
        #expect(try lab.answers(web.clusterIPv6) == ["pod-1", "pod-2"])
        #expect(try lab.answers("192.168.0.2", 30090) == ["pod-1", "pod-2"])

        web.endpoints = [1, 2, 3]
        let other = IPVSService(name: "other", number: 2, endpoints: [3])
        try lab.write([web, other])
        #expect(try await lab.wait { try lab.answers(web.clusterIP) == Self.all }, "\(lab.daemon.log)")
        #expect(try await lab.wait { try lab.answers(other.clusterIPv6) == ["pod-3"] }, "\(lab.daemon.log)")
        #expect(await lab.wait { lab.status()?["IPv4"]?.lastSync?.kind == "partial" }, "\(lab.daemon.log)")

        // Right after a check: the next one comes after fifty times as long, and finds all of the damage.
        let checked = lab.status()?["IPv4"]?.lastCheck?.finishedAt
        let isChecked = await lab.wait(.seconds(90)) {
            let check = lab.status()?["IPv4"]?.lastCheck
            return check?.findings == 0 && check?.finishedAt != checked
        }
        #expect(isChecked, "\(lab.daemon.log)")
        try lab.node.require(
            ["sh", "-es"],
            input: """
                ipset del KUBE-CLUSTER-IP \(web.clusterIP),tcp:80
                ipvsadm -d -t \(web.clusterIP):80 -r 10.180.1.1:8080
                ip addr del \(other.clusterIP)/32 dev kube-ipvs0
                iptables-legacy -D KUBE-SOURCE-RANGES-FIREWALL -j DROP
                ipvsadm -A -t \(web.clusterIP):81 -s rr
                ipvsadm -A -t 9.9.9.9:80 -s rr

                """)
        // A check may take a fiftieth of the time, and inside it takes long.
        #expect(
            try await lab.wait(.seconds(90)) {
                try lab.realServers(web.clusterIP) == [
                    "10.180.1.1:8080": 1, "10.180.1.2:8080": 1, "10.180.1.3:8080": 1,
                ]
                    && lab.realServers(web.clusterIP, 81) == nil && lab.answers(other.clusterIP) == ["pod-3"]
            }, "\(lab.daemon.log)")
        let drift = try #require(lab.status()?["IPv4"]?.drift)
        #expect(drift.mended == ["missing": 4, "unexpected": 1], "\(drift)")
        #expect(try lab.realServers("9.9.9.9") == [:])
        #expect(await lab.wait(.seconds(90)) { lab.status()?["IPv4"]?.lastCheck?.findings == 0 }, "\(lab.daemon.log)")
    }

    @Test("an endpoint that goes keeps its connections to their end, over a restart, and gets no new ones")
    func drains() async throws {
        var web = IPVSService(endpoints: [1])
        let lab = try IPVSDaemonLab([web])
        #expect(await lab.daemon.waitUntilHealthy(.seconds(60)), "\(lab.daemon.log)")
        let held = try lab.stream("tcp", web.clusterIP, 90)
        #expect(try await lab.wait { try held.isSettled(on: "pod-1") })

        web.endpoints = [2, 3]
        try lab.write([web])
        #expect(
            try await lab.wait {
                try lab.realServers(web.clusterIP, 90) == [
                    "10.180.1.1:9090": 0, "10.180.1.2:9090": 1, "10.180.1.3:9090": 1,
                ]
            }, "\(lab.daemon.log)")
        #expect(try lab.answers(web.clusterIP) == ["pod-2", "pod-3"])
        try lab.restart(killed: true)
        #expect(await lab.daemon.waitUntilHealthy(.seconds(60)), "\(lab.daemon.log)")
        #expect(await lab.wait { lab.status()?["IPv4"]?.drainingEndpoints == 1 }, "\(lab.daemon.log)")
        #expect(try lab.answers(web.clusterIP, count: 12) == ["pod-2", "pod-3"])
        // Checks come by every second, and do not take it for damage.
        #expect(try lab.realServers(web.clusterIP, 90)?["10.180.1.1:9090"] == 0)
        #expect(try held.servers() == ["pod-1"])

        let end = ContinuousClock.now
        held.stop()
        #expect(
            try await lab.wait { try lab.realServers(web.clusterIP, 90)?.count == 2 },
            "\(lab.daemon.log)")
        print("ipvs: deleted \(ContinuousClock.now - end) after the end of the last connection")
        #expect(await lab.wait { lab.status()?["IPv4"]?.drainingEndpoints == nil })
        #expect(lab.status()?["IPv4"]?.drift.mended == [:])
    }

    @Test("a service that goes keeps its connections to their end, and then nothing of it is left")
    func drainsService() async throws {
        let (web, other) = (IPVSService(endpoints: [1, 2]), IPVSService(name: "other", number: 2, endpoints: [3]))
        let lab = try IPVSDaemonLab([web, other])
        #expect(await lab.daemon.waitUntilHealthy(.seconds(60)), "\(lab.daemon.log)")
        let held = try lab.stream("tcp", web.clusterIPv6, 90)
        #expect(try await lab.wait { try held.answers().first?.count ?? 0 > 10 })

        try lab.write([other])
        #expect(try await lab.wait { try lab.answers(web.clusterIPv6, 90) == ["refused"] }, "\(lab.daemon.log)")
        #expect(try lab.realServers(web.clusterIPv6, 90)?.values.contains { $0 != 0 } == false)
        #expect(try await lab.wait { try lab.realServers(web.clusterIP) == nil })
        let before = try held.answers()[0].count
        #expect(try await lab.wait { try held.answers()[0].count > before + 10 })
        #expect(try held.servers().count == 1)

        held.stop()
        #expect(try await lab.wait { try lab.realServers(web.clusterIPv6, 90) == nil }, "\(lab.daemon.log)")
        #expect(
            try await lab.wait {
                try !lab.node.require(["ip", "addr", "show", "dev", "kube-ipvs0"]).contains(web.clusterIPv6 + "/")
                    && !lab.node.require(["ipset", "save"]).contains(web.clusterIPv6 + "\n")
            }, "\(lab.daemon.log)")
    }

    @Test("connections that do not end are given up after the time that is set")
    func bound() async throws {
        var web = IPVSService(endpoints: [1])
        let lab = try IPVSDaemonLab([web], arguments: ["--drain-timeout", "4s"])
        #expect(await lab.daemon.waitUntilHealthy(.seconds(60)), "\(lab.daemon.log)")
        let held = try lab.stream("tcp", web.clusterIP, 90)
        #expect(try await lab.wait { try held.isSettled(on: "pod-1") })
        web.endpoints = [2]
        try lab.write([web])
        #expect(try await lab.wait { try lab.realServers(web.clusterIP, 90)?["10.180.1.1:9090"] == 0 })
        let begin = ContinuousClock.now
        #expect(try await lab.wait { try lab.realServers(web.clusterIP, 90) == ["10.180.1.2:9090": 1] })
        #expect(ContinuousClock.now - begin > .seconds(2), "\(lab.daemon.log)")
        #expect(try held.answers()[0].suffix(1).map(\.text) != ["pod-2"])
    }

    @Test("another mode takes over under new connections, and ipvs mode from it, and nothing of either is left")
    func modes() async throws {
        let web = IPVSService(endpoints: [1, 2])
        let lab = try IPVSDaemonLab([web])
        #expect(await lab.daemon.waitUntilHealthy(.seconds(60)), "\(lab.daemon.log)")
        let probe = try lab.probe([web.clusterIP, web.clusterIPv6])
        #expect(try await lab.wait { try probe.count() > 20 })
        for mode in ["iptables", "ipvs"] {
            let before = try probe.count()
            try lab.configure(mode: mode)
            #expect(
                try await lab.wait(.seconds(60)) {
                    let left = try lab.leftovers()
                    return mode == "ipvs"
                        ? !left.hasChainsOfIPTables && left.virtualServerCount > 0
                        : left.hasChainsOfIPTables && left.virtualServerCount == 0 && !left.hasSets && !left.hasDevice
                }, "\(mode): \(lab.daemon.log)")
            #expect(try await lab.wait { try probe.count() > before + 20 })
        }
        let (count, failures) = try probe.stop()
        print("ipvs: \(count) connections while the mode changed twice, failed: \(failures)")
        #expect(failures == [])
    }

    @Test("flows of UDP leave an endpoint that goes at once")
    func datagrams() async throws {
        var web = IPVSService(endpoints: [1])
        let lab = try IPVSDaemonLab([web])
        #expect(await lab.daemon.waitUntilHealthy(.seconds(60)), "\(lab.daemon.log)")
        let flow = try lab.stream("udp", web.clusterIP, 80)
        #expect(try await lab.wait { try flow.isSettled(on: "pod-1") })
        web.endpoints = [2]
        try lab.write([web])
        #expect(try await lab.wait { try flow.isSettled(on: "pod-2") }, "\(lab.daemon.log)")
        let texts = try flow.answers()[0].map(\.text)
        print("ipvs: datagrams lost over the change: \(texts.count { $0 != "pod-1" && $0 != "pod-2" })")
        #expect(try lab.realServers(web.clusterIP, udp: true) == ["10.180.1.2:8080": 1])
        let conntrack = try lab.node.require(["conntrack", "-L", "-p", "udp", "--dport", "80"])
        #expect(!conntrack.contains("10.180.1.1 "), "\(conntrack)")
    }

    @Test("what the kernel refuses is named once, and all else is served and follows changes")
    func refusal() async throws {
        var (web, other) = (IPVSService(endpoints: [1]), IPVSService(name: "other", number: 2, endpoints: [3]))
        let lab = try IPVSDaemonLab([web, other])
        #expect(await lab.daemon.waitUntilHealthy(.seconds(60)), "\(lab.daemon.log)")
        // The address of a broadcast is no real server's.
        try lab.node.require(["ip", "addr", "add", "10.77.0.1/24", "dev", "lo"])
        try lab.node.require(["ip", "link", "add", "net77", "type", "dummy"])
        try lab.node.require(["ip", "addr", "add", "10.78.0.1/24", "brd", "10.78.0.255", "dev", "net77"])
        try lab.node.require(["ip", "link", "set", "net77", "up"])
        web.otherEndpoints = ["10.78.0.255"]
        try lab.write([web, other])
        #expect(await lab.wait { lab.status()?["IPv4"]?.refusals?.isEmpty == false }, "\(lab.daemon.log)")
        let refusals = try #require(lab.status()?["IPv4"]?.refusals)
        #expect(refusals.allSatisfy { $0.contains("10.78.0.255") }, "\(refusals)")
        other.endpoints = [2, 3]
        try lab.write([web, other])
        #expect(try await lab.wait { try lab.answers(other.clusterIP) == ["pod-2", "pod-3"] }, "\(lab.daemon.log)")
        #expect(try lab.answers(web.clusterIP) == ["pod-1"])
        let said = lab.daemon.log.split(separator: "\n").filter { $0.contains(refusals[0]) }
        #expect(said.count == 1, "\(said)")
        #expect(lab.status()?["IPv4"]?.drift.mended == [:])
        web.otherEndpoints = []
        try lab.write([web, other])
        #expect(await lab.wait { lab.status()?["IPv4"]?.refusals == nil }, "\(lab.daemon.log)")
    }
}
