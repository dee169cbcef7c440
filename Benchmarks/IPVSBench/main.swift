// Measures ipvs mode inside user-mode Linux, a kernel that has IPVS: `make bench`.
//
//     ipvs-bench [sync SERVICES] [changes COUNT SERVICES]
//
// Without arguments all of it. Starts the machine and runs itself in it, where each measurement is a process of its own.

import BenchSupport
import CUnshare
import Foundation
import TestSupport

let words = Array(CommandLine.arguments.dropFirst())

func number(_ index: Int, _ standard: Int) -> Int { words.count > index ? Int(words[index]) ?? standard : standard }

if !UserModeLinux.isInside {
    if let missing = MachineRun.missing {
        say("ipvs mode is not measured: this machine lacks \(missing).")
        exit(0)
    }
    run { exit(try await MachineRun(words).run()) }
}
switch words.first {
case "round": measure { try await SyncRound(kind: try SyncRound.Kind(word: words), services: number(2, 1000)).run() }
case "sync":
    say(SyncMeasurement.header)
    run { try await SyncMeasurement(services: number(1, 1000)).run() }
case "changes":
    say(ChangeMeasurement.header)
    measure { try await ChangeMeasurement(services: number(2, 1000), count: number(1, 200)).run() }
default:
    for size in ["1000", "5000"] { runSelf("sync", size) }
    for size in ["1000", "5000"] { runSelf("changes", "200", size) }
}

/// Runs a measurement to its end, which is the program's, in a network namespace that nobody else has and that ends with
/// it.
///
/// Not what starts the measurements: Foundation waits for processes by a connection over loopback.
func measure(_ body: @escaping @Sendable () async throws -> Void) {
    // Before there is another thread: a thread is where the one was that made it.
    guard unshare(SWITCHYARD_NEW_NETWORK_NAMESPACE) == 0 else {
        say("ipvs mode is not measured: unshare failed with errno \(errno).")
        exit(1)
    }
    run(body)
}

/// Runs something to its end, which is the program's.
func run(_ body: @escaping @Sendable () async throws -> Void) {
    Task.detached {
        do {
            try await body()
            exit(0)
        } catch {
            say("  NOT MEASURED: \(error)")
            exit(1)
        }
    }
    dispatchMain()
}
