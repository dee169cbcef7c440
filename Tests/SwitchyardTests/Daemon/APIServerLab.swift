import Foundation
import Synchronization
import TestAPIServer
import TestSupport
import Testing

/// A namespace with an API server and daemons in it, and the objects that the server has.
///
/// What the kernel should hold is decided by `switchyard diff` with the objects in a file.
final class APIServerLab: Sendable {
    let namespace: Namespace
    let variant: String
    private let folder: URL
    private let current: Mutex<RemoteAPIServer>
    private let objects = Mutex(ServedObjects())

    var server: RemoteAPIServer { current.withLock { $0 } }
    var objectFile: String { folder.appending(path: "objects.json").path }
    var configurationFile: String { folder.appending(path: "config.yaml").path }

    /// - Parameters:
    ///   - configure: changes what the server does; it sends bookmarks every half second.
    ///   - configuration: more lines of the proxy's configuration.
    init(
        _ variant: String = "nft", configuration: String = "clusterCIDR: 10.180.0.0/16,fd00:10:180::/48",
        _ beginning: [JSONValue] = ServedObjects.beginning, configure: (inout TestAPIServerOptions) -> Void = { _ in }
    ) async throws {
        self.variant = variant
        namespace = try Namespace()
        try namespace.require(["ip", "link", "set", "lo", "up"])
        folder = FileManager.default.temporaryDirectory.appending(path: "lab-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        current = Mutex(try await Self.start(in: namespace, configure))
        try Data(
            """
            apiVersion: kubeproxy.config.k8s.io/v1alpha1
            kind: KubeProxyConfiguration
            hostnameOverride: \(ServedObjects.nodeName)
            iptables: { minSyncPeriod: 0s }
            \(configuration)

            """.utf8
        ).write(to: URL(fileURLWithPath: configurationFile))
        for object in beginning { try await set(object) }
        try expectPresentObjects()
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private static func start(
        in namespace: Namespace, _ configure: (inout TestAPIServerOptions) -> Void
    ) async throws -> RemoteAPIServer {
        var options = TestAPIServerOptions()
        options.bookmarkMilliseconds = 500
        configure(&options)
        return try await RemoteAPIServer.start(
            program: BuiltProducts.testAPIServer, commandPrefix: namespace.commandPrefix, options: options)
    }

    /// Ends the server and starts another one at the same port, without any object.
    func replaceServer(_ configure: (inout TestAPIServerOptions) -> Void) async throws {
        let port = server.port
        try await server.stop()
        let new = try await Self.start(in: namespace) { options in
            configure(&options)
            options.port = port
        }
        current.withLock { $0 = new }
        objects.withLock { $0 = ServedObjects() }
    }

    /// Cuts the answers to requests for Services and EndpointSlices after so many bytes.
    func cut(isStalled: Bool, at bytes: Int, _ operation: Fault.Operation, count: Int? = nil) async throws {
        let action: Fault.Action = isStalled ? .stallBody(afterBytes: bytes) : .reset(afterBytes: bytes)
        for resource in ["services", "endpointslices"] {
            try await server.fail(Fault(action, resource: resource, operation: operation, count: count))
        }
    }

    /// Waits until the server can say that a condition holds; false if it does not within a minute.
    func wait(until condition: () async throws -> Bool) async throws -> Bool {
        let end = ContinuousClock.now + .seconds(60)
        while try await !condition() {
            guard ContinuousClock.now < end else { return false }
            try await Task.sleep(for: .milliseconds(50))
        }
        return true
    }

    func startDaemon(kubeconfig: String? = nil) throws -> DaemonProcess {
        try DaemonProcess(
            BuiltProducts.switchyard, in: namespace,
            [
                "--kubeconfig", kubeconfig ?? server.kubeconfigPath, "--config", configurationFile, "--variant",
                variant, "--no-nfacct", "--verbosity", "1",
            ])
    }
}

extension RequestRecord {
    /// True for the request for a list, streamed or not.
    func isList(of resource: String) -> Bool {
        path.hasSuffix("/\(resource)") && (!query.contains("watch=true") || query.contains("sendInitialEvents=true"))
    }
}

// MARK: - Objects

extension APIServerLab {
    func set(_ object: JSONValue) async throws {
        try await server.set(object)
        objects.withLock { $0.set(object) }
    }

    func delete(_ object: JSONValue) async throws {
        let metadata = object["metadata"]
        try await server.delete(
            kind: object["kind"].string ?? "", namespace: metadata["namespace"].string,
            name: metadata["name"].string ?? "")
        objects.withLock { $0.remove(object) }
    }

    /// Changes the endpoints of `plain`, adds `new` and deletes `spare`.
    func changeObjects() async throws {
        try await set(ServedObjects.slice("plain", endpoints: [2, 3, 7]))
        try await set(ServedObjects.service("new", 4))
        try await set(ServedObjects.slice("new", endpoints: [8, 9]))
        try await delete(ServedObjects.service("spare", 3))
        try await delete(ServedObjects.slice("spare", endpoints: []))
    }

    /// From now on the kernel is judged by the objects as they are now, with what `adjust` does to them.
    func expectPresentObjects(_ adjust: (inout ServedObjects) -> Void = { _ in }) throws {
        var expected = objects.withLock { $0 }
        adjust(&expected)
        try Data(expected.list.text).write(to: URL(fileURLWithPath: objectFile), options: .atomic)
    }
}

// MARK: - The kernel

extension APIServerLab {
    /// What `diff` says of the kernel and the objects that are expected.
    func difference() throws -> Command.Result {
        try namespace.run([
            BuiltProducts.switchyard, "diff", "-f", objectFile, "--config", configurationFile, "--variant", variant,
        ])
    }

    /// Waits until the kernel has what the objects ask for that the server has now, with what `adjust` does to them.
    func expectRulesToFollow(
        _ daemon: DaemonProcess, sourceLocation: SourceLocation = #_sourceLocation,
        _ adjust: (inout ServedObjects) -> Void = { _ in }
    ) async throws {
        try expectPresentObjects(adjust)
        var last: Command.Result?
        let areRight = try await DaemonProcess.wait(.seconds(60), every: .milliseconds(200)) {
            last = try difference()
            return last?.status == 0
        }
        #expect(areRight, "\(last?.output ?? "")\(daemon.log.suffix(4000))", sourceLocation: sourceLocation)
    }

    /// Looks again and again for a while whether the kernel has what was expected last.
    func expectRulesToHold(
        for time: Duration = .seconds(2), _ daemon: DaemonProcess, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let end = ContinuousClock.now + time
        repeat {
            let result = try difference()
            guard result.status == 0 else {
                Issue.record("\(result.output)\(daemon.log.suffix(4000))", sourceLocation: sourceLocation)
                return
            }
            try await Task.sleep(for: .milliseconds(200))
        } while ContinuousClock.now < end
    }

    /// True if there is any chain of ours, of both families.
    func hasChains() throws -> Bool {
        try ["iptables", "ip6tables"].contains { try namespace.require(["\($0)-\(variant)-save"]).contains(":KUBE-") }
    }
}

// MARK: - The daemon

extension DaemonProcess {
    private var source: [String: Any] { status()?["source"] as? [String: Any] ?? [:] }

    /// The kinds that have been read in full once.
    var syncedKinds: Set<String> { Set(source["synced"] as? [String] ?? []) }

    /// Why kinds cannot be followed, by kind.
    var interruptions: [String: String] {
        let list = source["interrupted"] as? [[String: Any]] ?? []
        return Dictionary(
            list.map { ($0["kind"] as? String ?? "", $0["reason"] as? String ?? "") }, uniquingKeysWith: { $1 })
    }

    /// How often rules were committed, in all families.
    var syncCount: Int { log.split(separator: "\n").count { $0.contains("rules are committed") } }

    /// Waits until the status tells of an interruption of Services, and returns the reason.
    func waitForInterruption() async -> String {
        _ = await Self.wait(.seconds(40), every: .milliseconds(200)) { interruptions["Service"] != nil }
        return interruptions["Service"] ?? ""
    }

    /// Waits until it is healthy and nothing is interrupted.
    func expectRecovery(sourceLocation: SourceLocation = #_sourceLocation) async {
        let isWell = await Self.wait(.seconds(40), every: .milliseconds(200)) {
            guard let status = status() else { return false }
            let source = status["source"] as? [String: Any]
            return status["healthy"] as? Bool == true && (source?["interrupted"] as? [Any])?.isEmpty == true
        }
        #expect(isWell, "\(interruptions)\n\(log.suffix(4000))", sourceLocation: sourceLocation)
    }
}
