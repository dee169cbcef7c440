import Foundation
import Synchronization
package import Testing

/// Runs suites of this test bundle, or a program, inside user-mode Linux: a real kernel, with IPVS, sets and devices of
/// its own, that is a process of this machine.
///
/// The suites run in the bundle that runs now, with this machine's files and as the machine's root user, on one
/// processor. They need not mind what they leave behind in the kernel, but files that they write outside
/// `Command.temporaryDirectory` are this machine's.
package enum UserModeLinux {
    /// True in a test that runs inside.
    package static let isInside = ProcessInfo.processInfo.environment[insideVariable] != nil

    /// What this machine lacks to run tests inside, or nil.
    package static let missing: String? = ["linux.uml", "modprobe", "ipvsadm", "taskset"].first {
        !Command.isInstalled($0)
    }

    static let insideVariable = "SWITCHYARD_INSIDE_UML"

    /// Runs suites inside and records an issue for each that fails there, is skipped, or ends early; also if none ran.
    ///
    /// - Parameters:
    ///   - suites: their types, such as `SwitchyardTests.ExampleTests`, as regular expressions.
    ///   - environment: variables for the suites, beside those of this process that begin with `SWITCHYARD_`.
    ///   - memory: of the machine, as its kernel's option `mem` takes it.
    ///   - limit: seconds after which the machine is ended.
    /// - Returns: what happened inside.
    @discardableResult
    package static func run(
        suites: [String], environment: [String: String] = [:], memory: String = "512M", limit: Int = 240,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> UserModeLinuxReport {
        let folder = try makeFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let job = MachineJob(
            suites: suites, environment: [insideVariable: "1"].merging(environment) { $1 }, folder: folder)
        let status = try await boot(job, in: folder, memory: memory, limit: limit)
        let report = UserModeLinuxReport(of: folder, machineStatus: status, limit: limit)
        for complaint in report.complaints {
            Issue.record(Comment(rawValue: complaint), sourceLocation: sourceLocation)
        }
        return report
    }

    /// Runs a command inside that is no test.
    ///
    /// - Parameters:
    ///   - memory: of the machine, as its kernel's option `mem` takes it.
    ///   - limit: seconds after which the machine is ended.
    /// - Returns: its exit status, nil if it did not come to its end, and what it printed.
    package static func run(
        _ command: [String], memory: String = "512M", limit: Int = 240
    ) async throws -> (status: Int32?, output: String) {
        let folder = try makeFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let status = try await boot(
            MachineJob(running: command, environment: [insideVariable: "1"]), in: folder, memory: memory, limit: limit)
        let report = UserModeLinuxReport(of: folder, machineStatus: status, limit: limit)
        return (report.status, report.output)
    }

    private static func makeFolder() throws -> URL {
        let folder = Command.temporaryDirectory.appending(path: "uml-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Returns the exit status of the machine: 0 after a proper halt, 137 after the limit.
    private static func boot(_ job: MachineJob, in folder: URL, memory: String, limit: Int) async throws -> Int32 {
        try Data(job.text.utf8).write(to: folder.appending(path: "job"))
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        let console = open(folder.appending(path: "console").path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { [null, console].forEach { close($0) } }
        let pid = try Command.start(
            ["taskset", "--cpu-list", processor(), "linux.uml"]
                + ["mem=\(memory)", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "init=\(script)"]
                // The folder of its control socket, which it else puts into the home directory.
                + ["uml_dir=\(folder.path)/", "con=null", "con0=fd:0,fd:1", "quiet", "FOLDER=\(folder.path)"]
                // For the case that nobody waits for it any longer.
                + ["LIMIT=\(limit)"],
            descriptors: [null, console, console],
            // Its memory is a file there, without a name.
            environment: ["TMPDIR": folder.path, "PATH": path])
        let end = ContinuousClock.now + .seconds(limit)
        while true {
            if let status = Command.statusIfEnded(pid) { return status }
            // It consists of processes of one group, which outlive the first of them.
            if ContinuousClock.now > end { kill(-pid, SIGKILL) }
            // Nobody waits in waitpid: a test that blocks a thread for so long would hold others up.
            try? await Task.sleep(for: .milliseconds(50))
        }
    }

    /// The processor that a machine is to run on, a different one for each as far as there are some.
    ///
    /// The kernel and each program in it are processes that wait for each other at every system call and page fault. On
    /// one processor that takes a third of the time, and half the work.
    private static func processor() throws -> String {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let list = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }?.split(separator: "\t")
            .last
        let processors = (list ?? "0").split(separator: ",").flatMap { range in
            let ends = range.split(separator: "-").compactMap { Int($0) }
            return ends.isEmpty ? [] : Array(ends[0]...max(ends[0], ends[ends.count - 1]))
        }
        let number = count.add(1, ordering: .relaxed).oldValue
        return processors.isEmpty ? "0" : String(processors[processors.count - 1 - number % processors.count])
    }

    private static let count = Atomic<Int>(0)

    private static let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "scripts/uml-init.sh").path

    /// The programs of the administrator lie in sbin, which is not on every user's path.
    static let path = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin") + ":/usr/sbin:/sbin"
}

extension Trait where Self == ConditionTrait {
    /// For suites that are made for a kernel of their own: skipped elsewhere.
    package static var insideUserModeLinux: Self {
        .enabled(if: UserModeLinux.isInside, "is a part of a test that starts user-mode Linux")
    }

    /// For tests of a suite that runs in both places.
    package static var outsideUserModeLinux: Self {
        .enabled(if: !UserModeLinux.isInside, "is a part of what runs outside user-mode Linux")
    }

    /// For tests that start user-mode Linux: skipped where this machine lacks it, but not in CI.
    package static var startsUserModeLinux: Self {
        .enabled(
            if: UserModeLinux.missing == nil || isCI,
            "needs the program \(UserModeLinux.missing ?? ""), which this machine lacks")
    }
}
