import Foundation
import ProxyCore
import Synchronization
import Testing

@testable import SyncLoop

@Suite("Changes of the configuration")
struct ConfigurationFollowerTests {
    private struct Lack: Error, CustomStringConvertible {
        var description: String { "this node has no such thing" }
    }

    private let file = FileManager.default.temporaryDirectory.appending(path: "follower-\(UUID().uuidString).yaml")
    private let log = LogKeeper()

    private func write(_ mode: String) throws {
        let text = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: \(mode)\n"
        try Data(text.utf8).write(to: file, options: .atomic)
    }

    @Test("One that the node cannot be served by is told and not taken over, until the file changes")
    func lacking() async throws {
        defer { try? FileManager.default.removeItem(at: file) }
        try write("ipvs")
        let follower = ConfigurationFollower(path: file.path, logger: log.logger)
        let tried = Mutex<[ProxyMode]>([])
        var current = ProxyConfiguration()
        current.mode = .iptables
        async let next = follower.next(after: current) { configuration, _ in
            tried.withLock { $0.append(configuration.mode) }
            if configuration.mode == .ipvs { throw Lack() }
            return configuration.mode
        }
        #expect(
            await eventually { follower.problem?.hasSuffix("is not taken over: this node has no such thing") == true })
        // Back to what serves: nothing is to be taken over any more.
        try write("iptables")
        #expect(await eventually { follower.problem == nil })
        #expect(tried.withLock(\.self) == [.ipvs])
        try write("ipvs")
        #expect(await eventually { follower.problem != nil })
        try write("nftables")
        #expect(await next == .nftables)
        #expect(follower.problem == nil)
        #expect(tried.withLock(\.self) == [.ipvs, .ipvs, .nftables])
        #expect(log.messages.count { $0.contains("this node has no such thing") } == 2)
    }
}
