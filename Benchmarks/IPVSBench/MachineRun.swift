import BenchSupport
import Foundation
import TestSupport

/// This program, run again inside user-mode Linux, on one processor.
struct MachineRun {
    private let arguments: [String]

    init(_ arguments: [String]) {
        self.arguments = arguments
    }

    /// What this machine lacks to measure ipvs mode, or nil.
    static let missing =
        UserModeLinux.missing ?? ["ip", "ipset", "iptables-legacy-restore"].first { !Command.isInstalled($0) }

    /// Ten minutes are enough beside other work; `make bench` is to end.
    private static let limit = 1200

    /// Prints what it printed there, and returns its exit status.
    func run() async throws -> Int32 {
        let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().path
        let (status, output) = try await UserModeLinux.run([program] + arguments, memory: "2G", limit: Self.limit)
        print(output, terminator: "")
        guard let status else { throw Failure("user-mode Linux did not come to its end within \(Self.limit) s") }
        return status
    }
}
