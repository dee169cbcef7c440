import BenchSupport
import ProxyCore
import TestAPIServer
import TestSupport

/// The time from an event on the wire to rules in the kernel, one change after the other, then what an idle daemon
/// costs.
struct LatencyMeasurement {
    let variant: String
    let services: Int
    let changes: Int
    let idleSeconds: Int

    static let header = """
        from an event to rules in the kernel, one change at a time, no minSyncPeriod; in ms, p50 / p99
          variant  services  change                 count        total     queue  plan+render  kernel or program   rest of the commit   wire, decoding, log
        """

    /// What a sync's time was spent on.
    private struct Steps {
        var total = Figures()
        var queue = Figures()
        var rendering = Figures()
        var restoring = Figures()
        var committing = Figures()
        var rest = Figures()

        mutating func add(_ line: DaemonLog.Line, since start: ContinuousClock.Instant) {
            let time = (line.readAt - start).inMilliseconds
            let (waited, rendered) = (line.number("waited_ms"), line.number("rendered_ms"))
            let (committed, restored) = (line.number("committed_ms"), line.number("kernel_ms"))
            total.add(time)
            queue.add(waited)
            rendering.add(rendered)
            restoring.add(restored)
            committing.add(committed - restored)
            rest.add(time - waited - rendered - committed)
        }

        func row(_ variant: String, _ services: Int, _ change: String) -> String {
            func pair(_ figures: Figures, _ digits: Int, width: Int) -> String {
                let words = [50, 99].map { column(figures.percentile($0), digits, width: 0) }
                return column(words.joined(separator: " / "), width: width)
            }
            return [
                column(variant, width: 9), column(Double(services), 0), "  ",
                change + column("", width: 20 - change.count), column(Double(total.count), 0, width: 8),
                pair(total, 1, width: 13), pair(queue, 1, width: 12), pair(rendering, 2, width: 13),
                pair(restoring, 2, width: 18), pair(committing, 1, width: 21), pair(rest, 1, width: 22),
            ].joined()
        }
    }

    func run() async throws {
        let cluster = LargeCluster(services: services, endpointsEach: 10)
        // Slices whose services come later.
        let spare = LargeCluster(services: services + changes / 20 + 1, endpointsEach: 10)
        let slices = (services..<spare.services).map { LargeCluster.json(spare.slice($0)) }
        let rig = try await DaemonRig(cluster, variant: variant, extra: slices)
        _ = try await rig.log.first(DaemonRig.committed)
        try await rig.waitUntilIdle()
        try await Task.sleep(for: .seconds(2))

        var replaced = Steps()
        var toggled = Steps()
        for number in 0..<changes {
            let mark = rig.log.count
            let start = ContinuousClock.now
            // One in ten adds or removes a service that has endpoints.
            if number % 10 == 9 {
                let service = spare.service(services + number / 20)
                if number % 20 == 9 {
                    try await rig.server.set(json: LargeCluster.json(service))
                } else {
                    let name = service.name
                    try await rig.server.delete(kind: "Service", namespace: name.namespace, name: name.name)
                }
                toggled.add(try await rig.log.first(DaemonRig.committed, after: mark), since: start)
            } else {
                let slice = cluster.slice(number * 7 % services, generation: number + 1)
                try await rig.server.set(json: LargeCluster.json(slice))
                replaced.add(try await rig.log.first(DaemonRig.committed, after: mark), since: start)
            }
        }
        say(replaced.row(variant, services, "endpoint replaced"))
        say(toggled.row(variant, services, "service comes, goes"))
        say("  the kernel has all of it: \(try rig.diff() == 0 ? "yes" : "NO")")
        try await measureIdling(rig)
    }

    private func measureIdling(_ rig: DaemonRig) async throws {
        guard idleSeconds > 0 else { return }
        try await Task.sleep(for: .seconds(3))
        let mark = rig.log.count
        let before = rig.processorTime()
        try await Task.sleep(for: .seconds(idleSeconds))
        let used = (rig.processorTime() - before) / Double(idleSeconds) * 60
        let checks = rig.log.all("rules are checked", after: mark)
        let checking = checks.reduce(0) { $0 + $1.number("ms") } / Double(max(checks.count, 1))
        say(
            "  idle, \(services) services: \(column(used, 0, width: 0)) ms of processor time a minute"
                + (checks.isEmpty
                    ? ", no check among it"
                    : ", \(checks.count) checks of \(column(checking, 0, width: 0)) ms among it"))
    }
}
