import BenchSupport
import ChainRenderer
import Foundation
import ProxyCore
import SyncLoop
import TestAPIServer
import TestSupport

/// A daemon that follows an API server for tests, both in a namespace of their own.
final class DaemonRig: Sendable {
    static let committed = "rules are committed"

    let namespace: Namespace
    let server: RemoteAPIServer
    let daemon: DaemonProcess
    let log: DaemonLog
    let variant: String
    let startedAt: ContinuousClock.Instant

    /// Loads the server with a Node, Service default/kubernetes and all of a cluster, then starts the daemon.
    init(
        _ cluster: LargeCluster, variant: String, family: String = "ipv4", syncPeriod: String = "30s",
        extra: [String] = [], before: (Namespace) throws -> Void = { _ in }
    ) async throws {
        self.variant = variant
        namespace = try Namespace()
        try namespace.require(["ip", "link", "set", "lo", "up"])
        try before(namespace)
        server = try await RemoteAPIServer.start(
            program: BuiltProducts.testAPIServer, commandPrefix: namespace.commandPrefix)
        let objects = NSTemporaryDirectory() + "daemon-bench-\(getpid()).json"
        defer { unlink(objects) }
        try Self.write(cluster, extra, to: objects)
        try await server.load(file: objects)
        log = try DaemonLog()
        // A period of 0s means the default, as in kube-proxy: one second.
        let configuration = NSTemporaryDirectory() + "daemon-bench-\(getpid()).yaml"
        try """
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration
        iptables: {minSyncPeriod: 1us, syncPeriod: \(syncPeriod)}
        nftables: {minSyncPeriod: 1us, syncPeriod: \(syncPeriod)}
        logging: {format: json, verbosity: 2}
        """.write(toFile: configuration, atomically: true, encoding: .utf8)
        startedAt = .now
        daemon = try DaemonProcess(
            BuiltProducts.switchyard, in: namespace,
            [
                "--kubeconfig", server.kubeconfigPath, "--family", family,
                "--hostname-override", "node-1", "--config", configuration,
            ] + Self.options(variant), standardError: log.path)
    }

    /// What a command is told: a variant of iptables, or the mode.
    private static func options(_ variant: String) -> [String] {
        variant == "nftables" ? ["--mode", variant] : ["--variant", variant]
    }

    private static let node = """
        {"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1"},\
        "status":{"addresses":[{"type":"InternalIP","address":"192.168.0.1"}]}}
        """

    private static func write(_ cluster: LargeCluster, _ extra: [String], to path: String) throws {
        guard let file = fopen(path, "w") else { throw Failure("cannot write \(path)") }
        defer { fclose(file) }
        let kubernetes = ObjectName.valid("default", "kubernetes")
        var service = Service(name: kubernetes)
        service.clusterIPs = [IPAddress(ipv4: 0xac1f_ff01)]
        service.ports = [.init(name: "https", protocol: .tcp, number: 443)]
        var slice = EndpointSlice(name: kubernetes, service: kubernetes, family: .ipv4)
        slice.ports = [.init(name: "https", protocol: .tcp, number: 6443)]
        slice.endpoints = [.init(address: IPAddress(ipv4: 0xc0a8_00fe))]
        fputs("{\"kind\":\"List\",\"items\":[\n", file)
        fputs(node + ",\n" + LargeCluster.json(service) + ",\n" + LargeCluster.json(slice), file)
        for text in extra { fputs(",\n" + text, file) }
        for index in 0..<cluster.services {
            fputs(",\n" + LargeCluster.json(cluster.service(index)), file)
            fputs(",\n" + LargeCluster.json(cluster.slice(index)), file)
        }
        fputs("\n]}\n", file)
    }

    /// The size of the rules as they are committed at first, in bytes.
    static func textSize(_ cluster: LargeCluster) -> Int {
        let node = NodePlan(
            ProxyConfiguration(), mode: .iptables, family: .ipv4, nodeName: "node-1", node: nil,
            facts: HostFacts(of: nil))
        var state = ClusterState()
        for change in cluster.changes { state.apply(change) }
        var rules = IPTablesRules(node: node)
        rules.update(state.takeTouched(), from: state)
        return rules.fullBatch().tables.reduce(0) { $0 + $1.text.count }
    }

    /// Waits until nothing is waiting to be committed.
    func waitUntilIdle(_ limit: Duration = .seconds(120)) async throws {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            if let status = status(), status.families.allSatisfy({ $0.lastSync != nil && $0.pendingChanges == nil }) {
                return
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Failure("changes are still waiting after \(limit)")
    }

    func status() -> DaemonStatus? {
        guard let bytes = try? StatusClient.read(path: daemon.statusSocket.path, within: .seconds(20)) else {
            return nil
        }
        return try? DaemonStatus(document: bytes)
    }

    /// The exit status of `switchyard diff`: 0 where the kernel has what the server's objects ask for.
    func diff() throws -> Int32 {
        let result = try namespace.run(
            [
                BuiltProducts.switchyard, "diff", "--kubeconfig", server.kubeconfigPath,
                "--hostname-override", "node-1", "--family", "ipv4",
            ] + Self.options(variant))
        if result.status != 0 { print(result.output.prefix(2000), result.errors.prefix(1000)) }
        return result.status
    }

    /// True once the kernel has a rule, or an element, for default/kubernetes.
    func servesKubernetes() -> Bool {
        let (listing, pattern) =
            variant == "nftables"
            ? ("nft list map ip switchyard service-ips", "default/kubernetes:https")
            : ("iptables-\(variant)-save -t nat", "^-A KUBE-SERVICES .*default/kubernetes:https cluster IP")
        let result = try? namespace.run(["sh", "-c", "\(listing) 2>/dev/null | grep -q -e '\(pattern)'"])
        return result?.status == 0
    }

    /// The size of what the save program prints, in bytes.
    func saveSize() throws -> Int {
        let listing = variant == "nftables" ? "nft list table ip switchyard" : "iptables-\(variant)-save -c -t nat"
        let text = try namespace.require(["sh", "-c", "\(listing) | wc -c"])
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }
}

// MARK: - The process

extension DaemonRig {
    /// A value of /proc/PID/status, such as VmHWM, in megabytes.
    func memory(_ key: String) -> Double {
        let text = (try? String(contentsOfFile: "/proc/\(daemon.pid)/status", encoding: .utf8)) ?? ""
        for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
            let words = line.split(whereSeparator: \.isWhitespace)
            return words.count > 1 ? (Double(words[1]) ?? 0) * 1024 / 1e6 : 0
        }
        return 0
    }

    /// The processor time that it has used, without that of the programs it has started, in milliseconds.
    ///
    /// The scheduler's own sum, as the ticks of /proc/PID/stat are 10 ms long.
    func processorTime() -> Double {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.pid)/task")) ?? []
        return tasks.reduce(0) { sum, task in
            let text = try? String(contentsOfFile: "/proc/\(daemon.pid)/task/\(task)/schedstat", encoding: .utf8)
            return sum + (text?.split(separator: " ").first.flatMap { Double($0) } ?? 0) / 1e6
        }
    }

    /// Sets the mark of the highest memory back to what is resident now.
    func resetPeak() {
        try? "5".write(toFile: "/proc/\(daemon.pid)/clear_refs", atomically: false, encoding: .utf8)
    }
}
