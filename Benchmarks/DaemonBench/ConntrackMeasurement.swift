import BenchSupport
import Foundation
import ProxyCore
import TestAPIServer
import TestSupport

/// Syncs of a UDP service beside a table of connections that is full.
struct ConntrackMeasurement {
    let variant: String
    let entries: Int
    let changes: Int

    func run() async throws {
        let room = Self.limit - 1000
        let count = min(entries, room)
        say(
            "a UDP endpoint replaced at 1000 services, \(variant); \(count) entries of the table of connections"
                + (count < entries ? " (net.netfilter.nf_conntrack_max allows no more)" : ""))
        let cluster = LargeCluster(services: 1000, endpointsEach: 10)
        let rig = try await DaemonRig(
            cluster, variant: variant,
            extra: [LargeCluster.json(service), LargeCluster.json(slice(0))])
        _ = try await rig.log.first(DaemonRig.committed)
        try await rig.waitUntilIdle()
        try await Task.sleep(for: .seconds(2))
        try await measure(rig, "with an empty table", generation: 1)
        let address = "\(service.clusterIPs[0])"
        // To an endpoint that stays: none of them is stale.
        try rig.namespace.require(
            [BuiltProducts.netlinkPeer, "conntrack-fill", "udp", "\(count)", address, "53", "10.200.0.9", "5353"])
        try await measure(rig, "with a full table", generation: 1001)
        // And now all of them are.
        let mark = rig.log.count
        var last = slice(2001)
        last.endpoints.removeAll { $0.address == IPAddress("10.200.0.9") }
        try await rig.server.set(json: LargeCluster.json(last))
        _ = try await rig.log.first(DaemonRig.committed, after: mark)
        let start = ContinuousClock.now
        let cleaning = try await rig.log.first(Self.cleaned, after: mark, within: .seconds(300))
        say(
            """
              their endpoint goes: \(column(cleaning.number("deleted"), 0, width: 0)) deleted, \
            \(column((cleaning.readAt - start).inMilliseconds, 0, width: 0)) ms after the sync
            """)
    }

    private static let cleaned = "stale UDP flows are deleted"

    private static var limit: Int {
        let text = try? String(contentsOfFile: "/proc/sys/net/netfilter/nf_conntrack_max", encoding: .utf8)
        return Int(text?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "") ?? 0
    }

    private func measure(_ rig: DaemonRig, _ situation: String, generation: Int) async throws {
        var latency = Figures()
        var cleanings = Figures()
        for number in 0..<changes {
            let mark = rig.log.count
            let start = ContinuousClock.now
            try await rig.server.set(json: LargeCluster.json(slice(generation + number)))
            let line = try await rig.log.first(DaemonRig.committed, after: mark)
            latency.add((line.readAt - start).inMilliseconds)
            let cleaning = try await rig.log.first(Self.cleaned, after: mark, within: .seconds(60))
            cleanings.add(cleaning.number("ms"))
            // The next change meets a cleaning that is under way every other time.
            if number.isMultiple(of: 2) { try await Task.sleep(for: .milliseconds(20)) }
        }
        say(
            """
              \(situation): to rules in the kernel \(column(latency.percentile(50), 0, width: 0)) / \
            \(column(latency.percentile(99), 0, width: 0)) ms (p50 / p99 of \(changes)), a cleaning beside it \
            \(column(cleanings.percentile(50), 0, width: 0)) / \(column(cleanings.percentile(99), 0, width: 0)) ms
            """)
    }

    private let service: Service = {
        var service = Service(name: .valid("udp", "names"))
        service.clusterIPs = [IPAddress(ipv4: 0xac1f_0035)]
        service.ports = [.init(name: "dns", protocol: .udp, number: 53)]
        return service
    }()

    /// Ten endpoints, of which the first is another one in each generation and the last is 10.200.0.9.
    private func slice(_ generation: Int) -> EndpointSlice {
        var slice = EndpointSlice(name: service.name, service: service.name, family: .ipv4)
        slice.ports = [.init(name: "dns", protocol: .udp, number: 5353)]
        slice.endpoints = (0..<10).map { place in
            let number = place == 0 ? 0x0ac9_0000 + UInt32(generation) : 0x0ac8_0000 + UInt32(place)
            return .init(address: IPAddress(ipv4: number))
        }
        return slice
    }
}
