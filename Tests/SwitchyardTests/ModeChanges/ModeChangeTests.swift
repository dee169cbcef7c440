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

/// A series of changes.
enum ModeChangeRun {
    @discardableResult
    static func check(
        _ steps: [ModeChangeLab.Serving], every milliseconds: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let lab = try ModeChangeLab()
        defer { lab.close() }
        var report = ""
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
                "\(former) to \(serving): \(visits.count) connections, \(visits.failures.count) failures, the longest "
                + "\(visits.longest) ms; apply took \(duration)\n"
            print(sentence, terminator: "")
            report += sentence
            #expect(visits.failures == [], "\(former) to \(serving)\n\(result.errors)", sourceLocation: sourceLocation)
            #expect(visits.count > 50, sourceLocation: sourceLocation)
            #expect(
                try lab.leftovers(servedIn: serving) == [], "\(former) to \(serving)\n\(result.errors)",
                sourceLocation: sourceLocation)
        }
        return report
    }
}
