import Foundation
import TestSupport
import Testing

/// The daemon in a lab with clients that never stop sending.
///
/// That a flow goes right within a second of the sync is promised; three seconds are granted here, as the machine may
/// be busy, and what was measured is printed.
@Suite("Daemon, UDP", .kernel("iptables-nft-restore", "iptables-legacy-restore", "conntrack"), .serialized)
struct UDPTests {
    enum Case: String, CaseIterable, CustomTestStringConvertible {
        case running = "the daemon runs"
        case away = "the daemon is down meanwhile"

        var testDescription: String { rawValue }
    }

    private static let grace = 3.0

    @Test(
        "flows of one socket each follow their service, and nobody else's are touched",
        arguments: ["legacy", "nft"], Case.allCases)
    func follows(_ variant: String, _ kind: Case) async throws {
        let lab = try TrafficLab(node: UDPCluster.node, hosts: UDPCluster.hosts)
        defer { lab.close() }
        try leadDNS(of: lab, by: variant)
        let folder = try ManifestFolder()
        try folder.write(UDPCluster.manifests(isChanged: false))

        var daemon = try start(in: lab, variant, folder)
        try #require(await daemon.waitUntilHealthy(), "\(daemon.log)")
        let streams = try [0, 1].flatMap { family in
            [
                try FlowStream(UDPCluster.podFlows, family: family, from: "pod", of: lab),
                try FlowStream(UDPCluster.outsideFlows, family: family, from: "outside", of: lab),
            ]
        }
        let isBegun = try await DaemonProcess.wait(.seconds(60)) {
            try streams.allSatisfy { try $0.isSettled(on: \.before) }
        }
        try #require(isBegun, "\(last(of: streams)) \(daemon.log)")
        let foreign = try foreignEntries(of: lab)
        #expect(foreign.count == 4)

        if kind == .away { #expect(daemon.stop() == 0) }
        let changedAt = Date().timeIntervalSince1970
        try folder.write(UDPCluster.manifests(isChanged: true))
        if kind == .away { daemon = try start(in: lab, variant, folder) }
        let isDone = try await DaemonProcess.wait(.seconds(60)) {
            try streams.allSatisfy { try $0.isSettled(on: \.after) }
        }
        #expect(isDone, "\(last(of: streams)) \(daemon.log)")

        let synced = try syncTimes(of: daemon)
        var delays: [Double] = []
        for stream in streams {
            for (flow, answers) in zip(stream.flows, try stream.answers()) {
                let place = "\(variant), \(kind), \(stream.family)"
                if let delay = judge(flow, answers, changedAt, place) { delays.append(delay - synced[stream.family]) }
            }
        }
        let longest = try #require(delays.max())
        print("UDP, \(variant), \(kind): the last flow was right \((longest * 1000).rounded()) ms after the sync")
        #expect(delays.count == 14 && longest < Self.grace)
        #expect(try foreignEntries(of: lab) == foreign)
    }

    /// Those that had to stay were never anywhere else; of the others it returns when they were right, in seconds since
    /// 1970.
    private func judge(
        _ flow: UDPCluster.Flow, _ answers: [FlowStream.Answer], _ changedAt: Double, _ place: String
    ) -> Double? {
        let late = answers.filter { $0.time > changedAt }
        let others = late.filter { ![flow.before, flow.after, "timeout"].contains($0.text) }
        #expect(others.isEmpty, "\(flow.name), \(place): \(others)")
        guard flow.before != flow.after else { return nil }
        let firstRight = late.first { $0.text == flow.after }?.time ?? .infinity
        let lastOld = late.last { $0.text == flow.before }?.time ?? 0
        return max(firstRight, lastOld)
    }

    private func start(in lab: TrafficLab, _ variant: String, _ folder: ManifestFolder) throws -> DaemonProcess {
        try DaemonProcess(
            BuiltProducts.switchyard, in: lab.namespace(of: "node"),
            [
                "--source", folder.manifests.path, "--config", folder.configuration.path, "--variant", variant,
                "--verbosity", "1",
            ])
    }

    /// When the last sync of each family ended, in seconds since 1970.
    private func syncTimes(of daemon: DaemonProcess) throws -> [Double] {
        let families = try #require(daemon.status()?["families"] as? [[String: Any]])
        return try families.map { family in
            let sync = try #require(family["lastSync"] as? [String: Any])
            let text = try #require(sync["finishedAt"] as? String)
            return try Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true))
                .timeIntervalSince1970
        }
    }

    /// A translation that is none of a proxy's business.
    private func leadDNS(of lab: TrafficLab, by variant: String) throws {
        for (family, tool) in ["iptables", "ip6tables"].enumerated() {
            let world = UDPCluster.world.addresses[family]
            try Command.require(
                lab.inside(
                    "node",
                    [
                        "\(tool)-\(variant)", "-t", "nat", "-A", "PREROUTING", "-d", UDPCluster.foreignTargets[family],
                        "-p", "udp", "--dport", "53", "-j", "DNAT", "--to-destination", world,
                    ]),
                environment: ["XTABLES_LOCKFILE": "\(P_tmpdir)/\(lab.namespace(of: "node").name).lock"])
        }
    }

    /// The identities of the entries that go to port 53: one that was deleted and made anew has another one.
    private func foreignEntries(of lab: TrafficLab) throws -> Set<String> {
        var entries: Set<String> = []
        for family in ["ipv4", "ipv6"] {
            let output = try Command.require(
                lab.inside("node", ["conntrack", "-L", "-p", "udp", "-f", family, "-o", "id"]))
            for line in output.split(separator: "\n") where line.contains(" dport=53 ") {
                entries.formUnion(line.split(separator: " ").filter { $0.hasPrefix("id=") }.map { "\(family) \($0)" })
            }
        }
        return entries
    }

    private func last(of streams: [FlowStream]) -> String {
        streams.flatMap { stream in
            zip(stream.flows, (try? stream.answers()) ?? []).map { flow, answers in
                "\(flow.name) \(stream.family): \(Set(answers.suffix(10).map(\.text)).sorted())"
            }
        }.joined(separator: "; ")
    }
}

/// A folder of manifests, with a configuration beside it.
private final class ManifestFolder: Sendable {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "udp-\(UUID().uuidString)")

    var manifests: URL { folder.appending(path: "manifests") }
    var configuration: URL { folder.appending(path: "config.yaml") }

    init() throws {
        try FileManager.default.createDirectory(at: manifests, withIntermediateDirectories: true)
        try Data(UDPCluster.configuration.utf8).write(to: configuration)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func write(_ text: String) throws {
        try Data(text.utf8).write(to: manifests.appending(path: "cluster.yaml"), options: .atomic)
    }
}
