import Foundation
import TestSupport
import Testing

/// From one mode to another and on, under connections that begin all the time.
@Suite("Changes of the mode between iptables and ipvs", .insideUserModeLinux)
struct IPVSModeChangeTests {
    @Test("fail no connection and leave nothing behind")
    func changes() async throws {
        try await ModeChangeRun.check([.iptables, .ipvs, .iptables, .ipvs], every: 10)
    }
}

@Suite("Changes among all modes", .insideQEMU)
struct AllModeChangeTests {
    @Test("fail no connection and leave nothing behind")
    func changes() async throws {
        try await ModeChangeRun.check(
            [
                .iptables, .ipvs, .nftables, .iptables, .nftables, .ipvs, .iptables, .ipvsNFT, .iptablesNFT, .ipvs,
                .iptables,
            ], every: 10)
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
    static func check(
        _ steps: [ModeChangeLab.Serving], every milliseconds: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let lab = try ModeChangeLab()
        defer { lab.close() }
        let first = try #require(steps.first)
        let result = try lab.apply(first)
        #expect(result.status == 0, "\(result.errors)", sourceLocation: sourceLocation)
        for (former, serving) in zip(steps, steps.dropFirst()) {
            try lab.startVisits(every: milliseconds)
            try await Task.sleep(for: .seconds(1))
            let clock = ContinuousClock()
            let start = clock.now
            let result = try lab.apply(serving)
            let duration = clock.now - start
            #expect(result.status == 0, "\(result.errors)", sourceLocation: sourceLocation)
            #expect(!result.errors.contains("warning"), "\(result.errors)", sourceLocation: sourceLocation)
            try await Task.sleep(for: .seconds(1))
            let visits = lab.stopVisits()
            let sentence =
                "mode change from \(former) to \(serving): \(visits.count) connections, \(visits.failures.count) failures, the longest "
                + "\(visits.longest) ms; apply took \(duration)"
            print(sentence)
            #expect(visits.failures == [], "\(former) to \(serving)\n\(result.errors)", sourceLocation: sourceLocation)
            #expect(visits.count > 50, sourceLocation: sourceLocation)
            #expect(
                try lab.leftovers(servedIn: serving) == [], "\(former) to \(serving)\n\(result.errors)",
                sourceLocation: sourceLocation)
        }
    }
}
