import BenchSupport
import Foundation
import TestSupport

/// A program that loads rules from a file, started in the network namespace of the calling thread.
enum RuleProgram {
    case nft
    case legacyRestore

    /// How long a program may take; `make bench` is to end.
    static let limit = Duration.seconds(120)

    private func command(_ path: String) -> [String] {
        switch self {
        case .nft: ["nft", "-f", path]
        case .legacyRestore: ["iptables-legacy-restore", "--wait", "--noflush", path]
        }
    }

    /// What loading took, in milliseconds.
    struct Load {
        var time: Double
        /// What of it was processor time of the program, in the kernel too.
        var processor: Double
    }

    /// Returns nil if it was ended after `limit`.
    func load(_ text: [UInt8]) throws -> Load? {
        let path = NSTemporaryDirectory() + "nftables-bench-\(getpid())"
        defer { unlink(path) }
        guard FileManager.default.createFile(atPath: path, contents: Data(text)) else {
            throw Failure("cannot write \(path)")
        }
        let processor = Self.childrenMilliseconds
        let start = ContinuousClock.now
        let pid = try Command.start(command(path), descriptors: [])
        var status: Int32 = 0
        var isEnded = false
        while waitpid(pid, &status, WNOHANG) == 0 {
            if !isEnded, .now - start > Self.limit {
                // In a call of its own the kernel goes on until its end.
                kill(pid, SIGKILL)
                isEnded = true
            }
            usleep(1000)
        }
        let time = ContinuousClock.now - start
        if isEnded { return nil }
        guard status == 0 else { throw Failure("\(self) ended with \(status)") }
        return Load(time: time.inMilliseconds, processor: Self.childrenMilliseconds - processor)
    }

    /// The processor time of all programs that have ended.
    private static var childrenMilliseconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &usage)
        let seconds = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        return seconds * 1e3 + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3
    }
}
