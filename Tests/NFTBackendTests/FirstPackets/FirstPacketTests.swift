import Glibc
import GoldenSupport
import NFTBackend
import ProxyCore
import TestSupport
import Testing

extension Trait where Self == ConditionTrait {
    /// For tests that make devices of their own. In CI they run all the same.
    fileprivate static var tun: ConditionTrait {
        let device = "/dev/net/tun"
        return .enabled(if: isCI || access(device, R_OK | W_OK) == 0, "needs \(device), which this machine lacks")
    }
}

/// Real first packets through a real kernel, against kube-proxy's flows.
@Suite("First packets")
struct FirstPacketTests {
    @Test(
        "end where the flows say, and are masqueraded where they say", .kernel("sysctl"), .tun,
        arguments: GoldenCase.all)
    func flows(_ golden: GoldenCase) throws {
        let cluster = try GoldenCluster(golden)
        let probes = try IPFamily.allCases.flatMap { try FlowProbe.all(golden, cluster, $0) }
        let sent = probes.filter { $0.reasonToLeaveOut == nil }
        guard !sent.isEmpty else { return }

        let node = try PacketNode(addresses: cluster.local, probes: sent)
        let batches = IPFamily.allCases.compactMap { family in
            var table = cluster.sharedMaps(family)
            return table.nextTransaction().map(NFTablesBatch.init)
        }
        let sightings = try node.send(sent.map { ($0.row.packet, $0.times) }, through: batches)

        let faults = zip(sent, sightings).compactMap { probe, sightings in
            probe.fault(sightings).map { "\(probe.line): \($0)" }
        }
        #expect(faults.isEmpty, "\(faults.count) of \(sent.count):\n\(faults.prefix(5).joined(separator: "\n"))")
    }

    /// What is left out or compared in part is so by a rule, and is little.
    @Test("are sent for every row but those that no host could send")
    func completeness() throws {
        var counts: [String: Int] = [:]
        var total = 0
        var clusters = 0
        var packets = 0
        for golden in GoldenCase.all {
            let cluster = try GoldenCluster(golden)
            let probes = try IPFamily.allCases.flatMap { try FlowProbe.all(golden, cluster, $0) }
            total += probes.count
            clusters += probes.isEmpty ? 0 : 1
            packets += probes.reduce(0) { $0 + ($1.reasonToLeaveOut == nil ? $1.times : 0) }
            for probe in probes {
                for word in [probe.reasonToLeaveOut.map { "left out: \($0.rawValue)" } ?? "sent"] + probe.reservations {
                    counts[word, default: 0] += 1
                }
            }
        }
        let lines = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        print(
            "first packets: \(total) rows of \(clusters) clusters, \(packets) packets: "
                + lines.joined(separator: "; "))
        #expect(clusters >= 43 && total > 2600)
        #expect(counts["sent", default: 0] * 100 >= total * 99)
        for reservation in FlowProbe.Reservation.allCases {
            #expect(counts[reservation.rawValue, default: 0] * 10 <= total, "\(reservation)")
        }
    }
}
