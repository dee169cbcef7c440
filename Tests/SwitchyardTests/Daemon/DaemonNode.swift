import Foundation
import TestSupport
import Testing

/// What tests of the daemon beside other programs need of the machine.
extension Trait where Self == ConditionTrait {
    static var daemonKernel: ConditionTrait {
        .kernel(
            "iptables-legacy-restore", "ip6tables-legacy-restore", "iptables-nft-restore", "ip6tables-nft-restore",
            "nft",
            "flock")
    }
}

/// A namespace with a folder of manifests, in which one daemon after the other is started.
///
/// A server stands behind the service `default/always`. Where no rule leads there, a connection to its cluster IP is
/// refused at once, as the address is the namespace's own and nobody listens on it.
final class DaemonNode {
    let variant: TrafficLabs.Variant
    let namespace: Namespace
    let folder: URL
    let gate: RestoreGate
    /// The families that the daemon serves: ipv4, ipv6 or both.
    let family: String
    private let server: RunningCommand
    /// As it is configured.
    private var mode = ""
    private(set) var daemon: DaemonProcess?

    var manifests: URL { folder.appending(path: "manifests") }
    var configurationFile: URL { folder.appending(path: "config.yaml") }
    /// The lock of the iptables programs. In a folder of its own, as switchyard's own lock lies beside it.
    var lockFile: String { folder.appending(path: "xtables.lock").path }
    var environment: [String: String] { ["XTABLES_LOCKFILE": lockFile] }

    /// - Parameter settings: lines of the configuration, such as `nodePortAddresses: [primary]`.
    init(
        _ variant: TrafficLabs.Variant, family: String = "both", syncPeriod: String = "30s", settings: String = ""
    ) throws {
        self.variant = variant
        self.family = family
        namespace = try Namespace()
        folder = FileManager.default.temporaryDirectory.appending(path: "node-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appending(path: "manifests"), withIntermediateDirectories: true)
        gate = try RestoreGate("iptables-\(variant.ofIPTables)-restore", in: folder.appending(path: "programs"))
        try namespace.require([
            "sh", "-ec",
            """
            ip link set lo up
            ip addr add 10.1.0.1/32 dev lo
            ip addr add 10.1.0.2/32 dev lo
            ip route add local 172.30.0.0/16 dev lo
            """,
        ])
        server = try namespace.start([
            BuiltProducts.trafficPeer, "serve", "--name", "pod", "--bind", "10.1.0.1", "--tcp", "8080",
        ])
        try configure(syncPeriod: syncPeriod, settings: settings)
        try write(NodeService.node, to: "node.yaml")
        try write(NodeService.always.manifest, to: "always.json")
    }

    deinit {
        daemon?.kill()
        gate.close()
        server.stop()
        try? FileManager.default.removeItem(at: folder)
    }

    /// - Parameter mode: the variant's own if nil.
    func configure(
        mode: String? = nil, syncPeriod: String = "30s", masqueradeAll: Bool = false, settings: String = ""
    ) throws {
        self.mode = mode ?? (variant == .nftables ? "nftables" : "iptables")
        try replace(
            configurationFile,
            with: """
                apiVersion: kubeproxy.config.k8s.io/v1alpha1
                kind: KubeProxyConfiguration
                mode: \(self.mode)
                hostnameOverride: node1
                iptables: { minSyncPeriod: 0s, syncPeriod: \(syncPeriod), masqueradeAll: \(masqueradeAll) }
                nftables: { minSyncPeriod: 1us, syncPeriod: \(syncPeriod), masqueradeAll: \(masqueradeAll) }
                \(settings)

                """)
    }

    /// Writes a manifest that takes the place of the one before in one step.
    func write(_ text: String, to name: String) throws {
        try replace(manifests.appending(path: name), with: text)
    }

    func replace(_ file: URL, with text: String) throws {
        try Data(text.utf8).write(to: file, options: .atomic)
    }

    /// None in nftables mode, which has no variants.
    private var variantOption: [String] { mode == "nftables" ? [] : ["--variant", "\(variant.ofIPTables)"] }

    // MARK: The daemon

    @discardableResult
    func start(standardError: String? = nil, _ arguments: String...) throws -> DaemonProcess {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let started = try DaemonProcess(
            BuiltProducts.switchyard, in: namespace,
            ["--source", manifests.path, "--config", configurationFile.path]
                + variantOption + ["--family", family] + arguments,
            environment: environment.merging(["PATH": "\(gate.folder.path):\(path)"]) { $1 },
            standardError: standardError)
        daemon = started
        return started
    }

    func status() -> StatusReport? {
        daemon?.statusDocument().flatMap { try? JSONDecoder().decode(StatusReport.self, from: $0) }
    }

    /// Waits until the status of a family is as wanted.
    func wait(
        _ time: Duration = .seconds(60), for family: String = "IPv4", _ condition: (StatusReport.Family) -> Bool
    ) async -> Bool {
        await DaemonProcess.wait(time) { status()?[family].map(condition) == true }
    }

    func waitUntilHealthy() async -> Bool {
        await DaemonProcess.wait(.seconds(60)) { status()?.healthy == true }
    }

    /// Waits until the log has these words: a line is written some time after the status tells of the same.
    func waitUntilLogged(_ words: String) async -> Bool {
        await DaemonProcess.wait { daemon?.log.contains(words) == true }
    }

    /// What differs between the kernel and the manifests; empty if nothing does.
    func difference(_ family: String? = nil) throws -> String {
        let result = try run(
            [BuiltProducts.switchyard, "diff", "--source", manifests.path, "--config", configurationFile.path]
                + variantOption + ["--family", family ?? self.family])
        return result.status == 0 ? "" : result.output + result.errors
    }

    /// Waits until the kernel is as the manifests ask for, and says what differs if it does not become so.
    func settle(_ time: Duration = .seconds(60), _ family: String? = nil) async throws -> String {
        var difference = ""
        // Not often, as it takes a process or three.
        _ = try await DaemonProcess.wait(time, every: .milliseconds(500)) {
            difference = try self.difference(family)
            return difference.isEmpty
        }
        return difference
    }

    /// Starts the daemon and waits until everything is in the kernel.
    func startAndSettle() async throws {
        let daemon = try start()
        #expect(await waitUntilHealthy(), "\(daemon.log)")
        #expect(try await settle() == "", "\(daemon.log)")
    }

    // MARK: Other programs

    @discardableResult
    func run(_ command: [String]) throws -> Command.Result {
        try namespace.run(command, environment: environment)
    }

    /// Runs a shell command that must succeed; `$IPT` is iptables of the variant.
    @discardableResult
    func shell(_ script: String, lockFile: String? = nil) throws -> String {
        try namespace.require(
            ["sh", "-ec", script],
            environment: [
                "XTABLES_LOCKFILE": lockFile ?? self.lockFile, "IPT": "iptables-\(variant.ofIPTables)",
                "IP6T": "ip6tables-\(variant.ofIPTables)",
            ])
    }

    /// The lines of all tables of a family that are not ours.
    func foreignLines(_ program: String = "iptables") throws -> [String] {
        ForeignRules.lines(of: try shell("\(program)-\(variant.ofIPTables)-save"))
            // A table that has been used stays; its name alone is nobody's rule.
            .filter { !$0.hasPrefix("*") && $0 != "COMMIT" && !$0.hasPrefix(":") }
    }

    /// The chain that a rule of another chain leads to.
    func target(from chain: String, containing words: String) throws -> String {
        let line = try shell("$IPT -t nat -S \(chain)").split(separator: "\n").first { $0.contains(words) }
        return try #require(line?.split(separator: " ").last.map(String.init), "\(chain) has no \(words)")
    }
}
