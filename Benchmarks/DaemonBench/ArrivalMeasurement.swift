import BenchSupport
import Foundation
import ProxyCore
import SyncLoop
import Synchronization
import TestAPIServer
import TestSupport

/// A whole cluster that arrives at a kernel without rules, and then changes without a pause.
struct ArrivalMeasurement {
    let variant: String
    let services: Int
    let changesPerSecond: Int
    let seconds: Int

    func run() async throws {
        let cluster = LargeCluster(services: services, endpointsEach: 10)
        say("\(services) services of 10 endpoints, \(variant)")
        let rig = try await DaemonRig(cluster, variant: variant, family: "both", syncPeriod: "10s")
        let asking = Answers(rig.daemon.statusSocket.path)
        try await measureArrival(rig, cluster, asking)
        try await measureCheck(rig)
        try await measureChurn(rig, cluster)
        if variant == "nft" { try await measureMending(rig) }
    }

    /// Asks for the status every 50 ms, and notes how long answers take.
    private final class Answers: Sendable {
        private let figures = Mutex(Figures())
        private let isOver = Mutex(false)

        init(_ path: String) {
            let thread = Thread { [self] in
                while !isOver.withLock({ $0 }) {
                    let start = ContinuousClock.now
                    let answer = try? StatusClient.read(path: path, within: .seconds(20))
                    if answer != nil { figures.withLock { $0.add((ContinuousClock.now - start).inMilliseconds) } }
                    usleep(50_000)
                }
            }
            thread.start()
        }

        func end() -> Figures {
            isOver.withLock { $0 = true }
            return figures.withLock { $0 }
        }
    }

    private func measureArrival(_ rig: DaemonRig, _ cluster: LargeCluster, _ asking: Answers) async throws {
        async let essential = timeOfKubernetes(rig, since: rig.startedAt)
        for kind in ["Service", "EndpointSlice"] {
            while !rig.log.all("objects are known").contains(where: { $0.metadata["kind"] == kind }) {
                try await Task.sleep(for: .milliseconds(1))
            }
        }
        let known = ContinuousClock.now
        // IPv4 is being committed now, and something happens in IPv6.
        try await Task.sleep(for: .milliseconds(800))
        let mark = rig.log.count
        let start = ContinuousClock.now
        try await rig.server.set(json: LargeCluster.json(Self.serviceOfIPv6))
        try await rig.server.set(json: LargeCluster.json(Self.sliceOfIPv6))
        let second = try await rig.log.first(DaemonRig.committed, after: mark, family: "IPv6")
        let first = try await rig.log.first(DaemonRig.committed, family: "IPv4", within: .seconds(300))
        let answers = asking.end()
        let served = try await essential
        let (peak, text) = (rig.memory("VmHWM"), Double(DaemonRig.textSize(cluster)) / 1e6)
        say(
            """
              objects known after \(column((known - rig.startedAt).inMilliseconds, 0, width: 0)) ms, \
            default/kubernetes served after \(column(served, 0, width: 0)) ms, \
            all committed after \(column((first.readAt - rig.startedAt).inMilliseconds, 0, width: 0)) ms
              of it plan and render \(column(first.number("rendered_ms"), 0, width: 0)) ms, \
            kernel, or restore program \(column(first.number("kernel_ms"), 0, width: 0)) ms
              peak memory \(column(peak, 0, width: 0)) MB; the text committed is \(column(text, 1, width: 0)) MB
              meanwhile \(answers.count) answers of the status, the slowest after \
            \(column(answers.maximum, 0, width: 0)) ms; a change of IPv6 committed after \
            \(column((second.readAt - start).inMilliseconds, 0, width: 0)) ms
            """)
    }

    private func timeOfKubernetes(_ rig: DaemonRig, since start: ContinuousClock.Instant) async throws -> Double {
        while ContinuousClock.now - start < .seconds(120) {
            if rig.servesKubernetes() {
                return (ContinuousClock.now - start).inMilliseconds
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw Failure("default/kubernetes is not served")
    }

    private func measureCheck(_ rig: DaemonRig) async throws {
        try await rig.waitUntilIdle()
        rig.resetPeak()
        let mark = rig.log.count
        let before = rig.processorTime()
        let check = try await rig.log.first("rules are checked", after: mark, family: "IPv4")
        let used = rig.processorTime() - before
        say(
            """
              full check: \(column(check.number("ms"), 0, width: 0)) ms, of it \(column(used, 0, width: 0)) ms of \
            processor time of its own; peak memory \(column(rig.memory("VmHWM"), 0, width: 0)) MB; a listing \
            has \(column(Double(try rig.saveSize()) / 1e6, 1, width: 0)) MB
            """)
    }

    private func measureChurn(_ rig: DaemonRig, _ cluster: LargeCluster) async throws {
        guard seconds > 0 else { return }
        let before = rig.memory("VmRSS")
        rig.resetPeak()
        let mark = rig.log.count
        let start = ContinuousClock.now
        let count = changesPerSecond * seconds
        for number in 0..<count {
            try await Task.sleep(until: start + .milliseconds(1000 * number / changesPerSecond))
            let slice = cluster.slice(number * 7 % services, generation: number + 1)
            try await rig.server.set(json: LargeCluster.json(slice))
        }
        let sent = ContinuousClock.now
        try await rig.waitUntilIdle()
        let settled = ContinuousClock.now
        let syncs = rig.log.all(DaemonRig.committed, after: mark, family: "IPv4")
        let after = rig.memory("VmRSS")
        let isEqual = try rig.diff() == 0
        say(
            """
              \(count) changes, \(changesPerSecond) a second for \(column((sent - start).inMilliseconds / 1000, 0, width: 0)) s: \
            \(syncs.count) syncs, the longest wait \
            \(column(syncs.map { $0.number("waited_ms") }.max() ?? 0, 0, width: 0)) ms; nothing left to commit \
            \(column((settled - sent).inMilliseconds, 0, width: 0)) ms after the last
              the kernel has all of it: \(isEqual ? "yes" : "NO"); memory before \(column(before, 0, width: 0)) MB, \
            after \(column(after, 0, width: 0)) MB, at most \(column(rig.memory("VmHWM"), 0, width: 0)) MB
            """)
    }

    private func measureMending(_ rig: DaemonRig) async throws {
        let mark = rig.log.count
        try rig.namespace.require(["nft", "delete", "table", "ip", "nat"])
        let start = ContinuousClock.now
        let served = try await timeOfKubernetes(rig, since: start)
        let all = try await rig.log.first(DaemonRig.committed, after: mark, family: "IPv4")
        say(
            """
              table nat deleted by another program: default/kubernetes served again after \
            \(column(served, 0, width: 0)) ms, everything after \
            \(column((all.readAt - start).inMilliseconds, 0, width: 0)) ms
            """)
    }

    private static let nameOfIPv6 = ObjectName.valid("six", "six")

    private static var serviceOfIPv6: Service {
        var service = Service(name: nameOfIPv6)
        service.clusterIPs = [IPAddress("fd00:10:96::6")].compactMap(\.self)
        service.ports = [.init(name: "http", protocol: .tcp, number: 80)]
        return service
    }

    private static var sliceOfIPv6: EndpointSlice {
        var slice = EndpointSlice(name: nameOfIPv6, service: nameOfIPv6, family: .ipv6)
        slice.ports = [.init(name: "http", protocol: .tcp, number: 8080)]
        slice.endpoints = [IPAddress("fd00:10:180::6")].compactMap(\.self).map { .init(address: $0) }
        return slice
    }
}
