// Measures the daemon against the real kernel, in namespaces of its own: `make bench`.
//
//     daemon-bench [latency VARIANT SERVICES CHANGES IDLE-SECONDS]
//                  [arrival VARIANT SERVICES CHANGES-PER-SECOND SECONDS]
//                  [conntrack VARIANT ENTRIES CHANGES]
//
// Without arguments all of it, which takes about a quarter of an hour. `switchyard`, `test-api-server` and
// `netlink-peer` are taken from where this program lies.

import BenchSupport
import Foundation
import TestSupport

let words = Array(CommandLine.arguments.dropFirst())

func number(_ index: Int, _ standard: Int) -> Int { words.count > index ? Int(words[index]) ?? standard : standard }

func measure(_ body: () async throws -> Void) async {
    do { try await body() } catch { say("  NOT MEASURED: \(error)") }
}

let variant = words.count > 1 ? words[1] : "legacy"
if let missing = KernelNeeds.missing(["iptables-legacy-save", "iptables-nft-save", "nft"]) {
    say("The daemon is not measured: this machine lacks \(missing).")
    exit(0)
}
switch words.first {
case "latency":
    say(LatencyMeasurement.header)
    await measure {
        try await LatencyMeasurement(
            variant: variant, services: number(2, 1000), changes: number(3, 1000), idleSeconds: number(4, 60)
        ).run()
    }
case "arrival":
    await measure {
        try await ArrivalMeasurement(
            variant: variant, services: number(2, 1000), changesPerSecond: number(3, 20), seconds: number(4, 60)
        ).run()
    }
case "conntrack":
    await measure {
        try await ConntrackMeasurement(variant: variant, entries: number(2, 1_000_000), changes: number(3, 50)).run()
    }
default:
    say(LatencyMeasurement.header)
    for (variant, services) in [("legacy", 1000), ("nft", 1000), ("nftables", 1000), ("nftables", 10_000)] {
        await measure {
            try await LatencyMeasurement(variant: variant, services: services, changes: 1000, idleSeconds: 60).run()
        }
    }
    for (variant, services) in [("legacy", 10_000), ("nft", 1000), ("nftables", 10_000)] {
        say("")
        await measure {
            try await ArrivalMeasurement(variant: variant, services: services, changesPerSecond: 20, seconds: 60).run()
        }
    }
    say("")
    await measure { try await ConntrackMeasurement(variant: "legacy", entries: 1_000_000, changes: 50).run() }
}
