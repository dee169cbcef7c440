import Foundation
import TestSupport
import Testing

/// Starts the machines. What runs in them is in suites of its own, which bear `.insideUserModeLinux`.
@Suite("User-mode Linux")
struct UserModeLinuxTests {
    @Test("runs what needs a kernel with IPVS", .startsUserModeLinux)
    func ipvs() async throws {
        // Two machines, each with a processor of its own, take as long as the longer of them.
        async let states = UserModeLinux.run(
            suites: [
                "BatchApplierTests.IPVSApplierTests", "SwitchyardTests.IPVSKernelTests",
                "SwitchyardTests.IPVSReadBackTests", "SwitchyardTests.IPVSApplyTests", "SwitchyardTests.IPVSDiffTests",
                "SwitchyardTests.IPVSCheckTests", "SwitchyardTests.IPVSExplainTests",
                "SwitchyardTests.IPVSCleanupTests",
                "SwitchyardTests.IPVSModuleTests", "SwitchyardTests.IPVSModeChangeTests",
            ], limit: 480)
        async let traffic = UserModeLinux.run(
            suites: [
                "SwitchyardTests.TrafficTests", "SwitchyardTests.IPVSNodeTests", "SwitchyardTests.IPVSDrainTests",
                "SwitchyardTests.IPVSDaemonTests",
            ], limit: 480)
        _ = try await (states, traffic)
    }

    @Test("ends after its time with all its processes", .startsUserModeLinux)
    func limit() async throws {
        var report: UserModeLinuxReport?
        try await withKnownIssue {
            report = try await UserModeLinux.run(suites: ["NoSuchTests"], limit: 1)
        } matching: {
            // On a busy machine it has come to its end, where nothing is to be run, before its time is looked at.
            $0.comments.contains {
                $0.rawValue.contains("it was ended after 1 s") || $0.rawValue.contains("Nothing ran inside")
            }
        }
        let folder = try #require(report?.folder.path)
        var commands: [String] = []
        // Those that were killed with the first one may end after it.
        let haveEnded = try await DaemonProcess.wait(.seconds(10)) {
            commands = try Self.commands()
            return !commands.contains { $0.contains(folder) }
        }
        #expect(haveEnded, "\(commands.filter { $0.contains(folder) })")
        #expect(!commands.isEmpty)
    }

    /// The command lines of all processes.
    private static func commands() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { Int($0) != nil }.compactMap {
            FileManager.default.contents(atPath: "/proc/\($0)/cmdline").map { String(decoding: $0, as: UTF8.self) }
        }
    }

    private static let filter = ProcessInfo.processInfo.environment["SWITCHYARD_UML"]

    @Test(
        "runs the suites that make uml names", .startsUserModeLinux,
        .enabled(if: filter != nil, "is a part of make uml, which names the suites"))
    func byHand() async throws {
        let report = try await UserModeLinux.run(suites: [try #require(Self.filter)], limit: 1200)
        print(report.output)
    }
}

@Suite("Reports from user-mode Linux")
struct UserModeLinuxReportTests {
    private static let passed = """
        {"kind":"test","payload":{"kind":"suite","id":"S","name":"S"},"version":0}
        {"kind":"test","payload":{"kind":"function","id":"S/f","name":"f"},"version":0}
        {"kind":"event","payload":{"kind":"testEnded","testID":"S/f","messages":[]},"version":0}
        {"kind":"event","payload":{"kind":"testEnded","testID":"S","messages":[]},"version":0}

        """
    private static let issue = """
        {"kind":"event","payload":{"kind":"issueRecorded","issue":{"isKnown":false,"sourceLocation":{"fileID":"T/F.swift","line":4}},"testID":"S/f","messages":
        """ + #"[{"symbol":"fail","text":"one is two"},{"symbol":"details","text":"a detail"}]},"version":0}"# + "\n"
    private static let end = #"{"kind":"event","payload":{"kind":"runEnded","messages":[]},"version":0}"#

    private static func skipped(_ reason: String) -> String {
        #"{"kind":"event","payload":{"kind":"testSkipped","messages":[{"symbol":"skip","text":"Test f() skipped: \""#
            + reason + #"\""}]},"version":0}"# + "\n"
    }

    @Test("say nothing of a run in which all went well")
    func nothing() {
        let known = Self.issue.replacingOccurrences(of: "false", with: "true")
        for events in [Self.passed, Self.passed + Self.skipped("soak: takes long"), Self.passed + known] {
            let report = UserModeLinuxReport(events: events + Self.end, status: 0, output: "")
            #expect(report.complaints == [])
            #expect(report.endedTests == ["S/f"])
        }
    }

    @Test("name each issue, and what was skipped")
    func issues() {
        let events = Self.passed + Self.issue + Self.skipped("needs root") + Self.end
        #expect(
            UserModeLinuxReport(events: events, status: 1, output: "").complaints == [
                "Inside user-mode Linux: T/F.swift:4: one is two\n  a detail",
                #"Inside user-mode Linux, where nothing may be: Test f() skipped: "needs root""#,
            ])
    }

    @Test(
        "tell of a run that did not come to its end, or in which nothing ran",
        arguments: [
            ("", Int32(0), Int32(0), "its exit status is 0. They printed:\nlast words"),
            (passed, nil, 137, "it was ended after 7 s. They printed:\nlast words"),
            (passed + end, nil, 1, "its exit status is 1."), (passed, 139, 0, "They printed:\nlast words"),
            (end, 0, 0, "Nothing ran inside user-mode Linux."),
            (passed + end, 3, 0, "The tests ended with 3. They printed:\nlast words"),
        ])
    func broken(_ events: String, _ status: Int32?, _ machineStatus: Int32, _ expected: String) {
        let report = UserModeLinuxReport(
            events: events, status: status, output: "last words\n", machineStatus: machineStatus, limit: 7)
        #expect(report.complaints.count == 1)
        #expect(report.complaints.first?.contains(expected) == true, "\(report.complaints)")
    }
}
