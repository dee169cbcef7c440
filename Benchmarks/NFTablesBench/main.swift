// Measures nftables mode against the real kernel, in network namespaces of its own: `make bench`.
//
//     nftables-bench [sync SERVICES] [programs SERVICES] [memory SERVICES] [changes COUNT SERVICES…] [packets COUNT SERVICES]
//
// Without arguments all of it, each measurement in a process of its own.

import BenchSupport
import CUnshare
import Foundation
import TestSupport

let words = Array(CommandLine.arguments.dropFirst())

func number(_ index: Int, _ standard: Int) -> Int { words.count > index ? Int(words[index]) ?? standard : standard }

if let missing = KernelNeeds.missing(["nft", "iptables-legacy-restore"]) {
    say("nftables mode is not measured: this machine lacks \(missing).")
    exit(0)
}
switch words.first {
case "sync": measure { try await SyncMeasurement(services: number(1, 1000)).run() }
case "programs": measure { try await SyncMeasurement(services: number(1, 1000)).runPrograms() }
case "memory": measure { try await MemoryMeasurement(services: number(1, 1000)).run() }
case "changes":
    let sizes = words.dropFirst(2).compactMap { Int($0) }
    measure { try await ChangeMeasurement(sizes: sizes.isEmpty ? [1000] : sizes, count: number(1, 200)).run() }
case "packets": measure { try PacketMeasurement(services: number(2, 1000), packets: number(1, 5000)).run() }
default:
    say(SyncMeasurement.header)
    for size in ["1000", "5000", "10000"] { runSelf("sync", size) }
    say("\n" + SyncMeasurement.programHeader)
    for size in ["1000", "5000", "10000"] { runSelf("programs", size) }
    say("\n" + MemoryMeasurement.header)
    for size in ["1000", "10000"] { runSelf("memory", size) }
    say("\n" + ChangeMeasurement.header)
    runSelf("changes", "400", "1000", "10000")
    say("\n" + PacketMeasurement.header)
    for size in ["1000", "10000"] { runSelf("packets", "10000", size) }
}

/// Runs a measurement to its end, which is the program's, in a network namespace that nobody else has and that ends with
/// it.
///
/// Not what starts the measurements: Foundation waits for processes by a connection over loopback.
func measure(_ body: @escaping @Sendable () async throws -> Void) {
    // Before there is another thread: a thread is where the one was that made it.
    guard unshare(SWITCHYARD_NEW_NETWORK_NAMESPACE) == 0 else {
        say("nftables mode is not measured: unshare failed with errno \(errno).")
        exit(0)
    }
    Task.detached {
        do { try await body() } catch { say("  NOT MEASURED: \(error)") }
        exit(0)
    }
    dispatchMain()
}
