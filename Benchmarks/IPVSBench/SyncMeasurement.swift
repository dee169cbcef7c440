import BenchSupport
import Foundation
import TestSupport

/// Everything into an empty network namespace, beside the programs that load the same.
struct SyncMeasurement {
    static let header = """
        full sync into an empty network namespace, 10 endpoints a service; times in ms, medians of rounds that take turns,
        each a process of its own
        """

    let services: Int

    private var rounds: Int { services > 2000 ? 3 : 7 }
    /// The kernel takes a namespace apart after its last process has ended.
    private var pause: UInt32 { services > 2000 ? 4 : 2 }

    func run() async throws {
        var figures: [String: Figures] = [:]
        for _ in 0..<rounds {
            for kind in ["whole", "programs", "parts"] {
                for (name, value) in try round(kind) { figures[name, default: Figures()].add(value) }
                sleep(pause)
            }
        }
        func median(_ name: String) -> Double { figures[name]?.median ?? .nan }
        func line(_ name: String, _ value: Double, _ more: String = "") {
            say("  " + name + column(value, 1, width: 64 - name.count) + more)
        }
        say("\(services) services, \(figures["commit"]?.count ?? 0) rounds")
        let restored = median("ipset") + median("ipvsadm")
        let ours = median("batch") + median("commit")
        func share(_ value: Double, _ whole: Double) -> String { column(value / whole, 2, width: 7) + " x" }
        line("plans from objects", median("plan"))
        line("ours: batch", median("batch"))
        line("ours: commit of everything", median("commit"))
        line("ours: batch and commit", ours, share(ours, restored) + " ipset restore and ipvsadm --restore")
        line("ours in parts: sets and their entries, device", median("sets"), share(median("sets"), median("ipset")))
        line("ours in parts: virtual and real servers", median("servers"), share(median("servers"), median("ipvsadm")))
        line("ours in parts: addresses", median("addresses"), share(median("addresses"), median("addresses-batch")))
        line("ours in parts: rules and settings", median("rules"), share(median("rules"), median("rules-restore")))
        line("ipset restore", median("ipset"))
        line("ipvsadm --restore", median("ipvsadm"))
        line(
            "both", restored,
            "    of it two program starts \(column(median("idle-ipset") + median("idle-ipvsadm"), 1, width: 0))")
        line("ip -batch", median("addresses-batch"))
        line("iptables-legacy-restore", median("rules-restore"))
        line("listing everything", median("list"))
    }

    /// The steps of one round, in milliseconds.
    private func round(_ kind: String) throws -> [(String, Double)] {
        let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().path
        let output = try Command.run([program, "round", kind, "\(services)"])
        guard output.status == 0 else { throw Failure("a round ended with \(output.status): \(output.output)") }
        return output.output.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 2, let value = Double(words[1]) else { return nil }
            return (String(words[0]), value)
        }
    }
}
