import Foundation
package import Testing

/// Runs suites of this test bundle inside a whole machine that QEMU emulates: the only one with both variants of
/// iptables, nf_tables and IPVS in one kernel.
///
/// Its files are this machine's, and cannot be written. Up in half a minute with the first program, and then five to
/// thirty times slower than this machine.
package enum QEMU {
    /// True in a test that runs inside.
    package static let isInside = ProcessInfo.processInfo.environment[insideVariable] != nil
    private static let insideVariable = "SWITCHYARD_INSIDE_QEMU"

    /// Runs suites inside and records an issue for each that fails there, is skipped, or ends early; also if none ran.
    ///
    /// - Parameters:
    ///   - suites: their types, such as `SwitchyardTests.ExampleTests`, as regular expressions.
    ///   - limit: seconds after which the machine is ended.
    /// - Returns: what happened inside.
    @discardableResult
    package static func run(
        suites: [String], limit: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> UserModeLinuxReport {
        let folder = Command.temporaryDirectory.appending(path: "qemu-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let job = MachineJob(suites: suites, environment: [insideVariable: "1"], folder: folder).text
        try Data(job.utf8).write(to: folder.appending(path: "job"))
        let pid = try Command.start(["bash", script, folder.path, "\(limit)"], descriptors: [-1, -1, -1])
        var status = Command.statusIfEnded(pid)
        while status == nil {
            try? await Task.sleep(for: .milliseconds(500))
            status = Command.statusIfEnded(pid)
        }
        let report = UserModeLinuxReport(of: folder, machineStatus: status ?? 0, limit: limit)
        for complaint in report.complaints {
            Issue.record(Comment(rawValue: "In QEMU. \(complaint)"), sourceLocation: sourceLocation)
        }
        return report
    }

    private static let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "scripts/qemu.sh").path
}

extension Trait where Self == ConditionTrait {
    /// For suites that are made for the machine of QEMU: skipped elsewhere.
    package static var insideQEMU: Self {
        .enabled(if: QEMU.isInside, "is a part of a test that starts QEMU")
    }
}
