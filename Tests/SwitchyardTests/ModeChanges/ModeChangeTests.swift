import Foundation
import TestSupport
import Testing

/// From one mode to another and on, under connections that begin all the time.
@Suite("Changes of the mode between iptables and ipvs", .insideUserModeLinux)
struct IPVSModeChangeTests {
    @Test("fail no connection and leave nothing behind")
    func changes() async throws {
        let lab = try ModeChangeLab()
        defer { lab.close() }
        try await ModeChangeRun.check([.iptables, .ipvs], every: 10, in: lab)
        var report = ""
        let answers = try await lab.withOpenConnections {
            report = try await ModeChangeRun.change(.ipvs, to: .iptables, every: 10, in: lab)
            try await Task.sleep(for: .seconds(1))
        }
        // Nothing is left but what the open connections need.
        #expect(report.contains("2 virtual servers, 7 sets and 1 address stay for 3 open connections"), "\(report)")
        let kept = try lab.leftovers(servedIn: .iptables)
        #expect(kept.filter { $0.hasPrefix("ipvs -A") }.count == 2, "\(kept)")
        // They get no new connections, and those of the node itself begin from an address that stays.
        let servers = kept.filter { $0.hasPrefix("ipvs -a") }
        #expect(servers.count == 2 && servers.allSatisfy { $0.hasSuffix(" -w 0") }, "\(kept)")
        let routes = kept.filter { $0.hasPrefix("route local ") }
        let source = " src \(TrafficCluster.node.addresses[0])"
        #expect(routes.count == 1 && routes.allSatisfy { $0.contains(source) }, "\(kept)")
        for answer in answers {
            // What comes later than in its round is the answer of the next one.
            #expect(Set(answer).subtracting(["timeout"]) == ["web-2"], "\(answer)")
            #expect(answer.count { $0 == "web-2" } > 20, "\(answer)")
            // After the change.
            #expect(answer.suffix(15).contains("web-2"), "\(answer)")
        }
        #expect(try lab.apply(.iptables).status == 0)
        #expect(try lab.leftovers(servedIn: .iptables) == [])
    }
}

@Suite("Changes among all modes", .insideQEMU)
struct AllModeChangeTests {
    @Test("fail no connection and leave nothing behind")
    func changes() async throws {
        let lab = try ModeChangeLab()
        defer { lab.close() }
        try await ModeChangeRun.check(
            [
                .iptables, .ipvs, .nftables, .iptables, .nftables, .ipvs, .iptables, .ipvsNFT, .iptablesNFT, .ipvs,
                .iptables,
            ], every: 40, in: lab)
    }
}

@Suite("A machine with every mode")
struct QEMUTests {
    private static let isAsked = ProcessInfo.processInfo.environment["SWITCHYARD_QEMU"] != nil

    @Test(
        "goes from mode to mode",
        .enabled(if: isAsked, "soak: takes minutes in an emulated machine; make soak runs it"))
    func modes() async throws {
        let report = try await QEMU.run(suites: ["SwitchyardTests.AllModeChangeTests"], limit: 1200)
        for line in report.output.split(separator: "\n") where line.hasPrefix("mode change") { print(line) }
    }
}

/// A series of changes.
enum ModeChangeRun {
    /// Checks that none of the changes lets a connection fail or leaves anything of the former mode.
    static func check(
        _ steps: [ModeChangeLab.Serving], every milliseconds: Int, in lab: ModeChangeLab,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let result = try lab.apply(try #require(steps.first))
        #expect(result.status == 0, "\(result.errors)", sourceLocation: sourceLocation)
        for (former, serving) in zip(steps, steps.dropFirst()) {
            let report = try await change(
                former, to: serving, every: milliseconds, in: lab, sourceLocation: sourceLocation)
            let left = try lab.leftovers(servedIn: serving)
            #expect(left == [], "\(former) to \(serving)\n\(report)", sourceLocation: sourceLocation)
        }
    }

    /// Changes the mode while clients open connections, of which none may fail. Returns what `apply` said.
    static func change(
        _ former: ModeChangeLab.Serving, to serving: ModeChangeLab.Serving, every milliseconds: Int,
        in lab: ModeChangeLab, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        try lab.startVisits(every: milliseconds)
        try await Task.sleep(for: .seconds(1))
        let start = ContinuousClock.now
        let result = try lab.apply(serving)
        let duration = (ContinuousClock.now - start) / .milliseconds(1)
        try await Task.sleep(for: .seconds(1))
        let visits = lab.stopVisits()
        print(
            "mode change from \(former) to \(serving): \(visits.count) connections, \(visits.failures.count) failures, "
                + "the longest \(visits.longest) ms; apply took \(Int(duration)) ms")
        #expect(result.status == 0, "\(result.errors)", sourceLocation: sourceLocation)
        #expect(!result.errors.contains("warning"), "\(result.errors)", sourceLocation: sourceLocation)
        #expect(visits.failures == [], "\(former) to \(serving)\n\(result.errors)", sourceLocation: sourceLocation)
        #expect(visits.count > 50, sourceLocation: sourceLocation)
        return result.errors
    }
}
