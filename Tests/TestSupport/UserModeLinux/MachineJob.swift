import Foundation

/// The shell script that runs something inside a machine.
struct MachineJob {
    let text: String

    /// Runs suites of this test bundle.
    init(suites: [String], environment: [String: String], folder: URL) {
        self.init(
            running: [BuiltProducts.testBundle, "--testing-library", "swift-testing", "--no-parallel"]
                + suites.flatMap { ["--filter", $0] }
                + ["--event-stream-version", "0", "--event-stream-output-path", folder.appending(path: "events").path],
            // What a suite needs is there, so nothing may be skipped.
            environment: environment.merging(["CI": "true"]) { $1 })
    }

    init(running command: [String], environment: [String: String]) {
        let own = ProcessInfo.processInfo.environment
        var variables = own.filter { $0.key.hasPrefix("SWITCHYARD_") || Self.kept.contains($0.key) }
        variables.merge(environment) { $1 }
        variables.merge(["PATH": UserModeLinux.path, "TMPDIR": "/run/tmp"]) { $1 }
        text =
            variables.sorted { $0.key < $1.key }.map { "export \($0.key)=\(Self.quoted($0.value))\n" }.joined()
            + "cd \(Self.quoted(FileManager.default.currentDirectoryPath))\n"
            + "exec \(command.map(Self.quoted).joined(separator: " "))\n"
    }

    private static let kept: Set<String> = ["HOME", "LANG", "LD_LIBRARY_PATH", "TZ"]

    private static func quoted(_ word: String) -> String {
        "'\(word.replacingOccurrences(of: "'", with: #"'\''"#))'"
    }
}
