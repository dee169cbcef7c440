import Foundation
import ProxyCore
import TestAPIServer
import TestSupport
import Testing

/// Changes that come faster than they can be committed one by one. `make bench` measures the same with 10,000 services.
@Suite("Daemon, many changes", .kernel("iptables-legacy-restore", "iptables-nft-restore", "nft"))
struct DaemonChurnTests {
    private static let nodeName = "node-1"
    private let cluster = LargeCluster(services: 200, endpointsEach: 10)

    @Test("Twenty changes a second end up in the kernel, none is lost", arguments: ["nft", "legacy"])
    func churn(_ variant: String) async throws {
        let namespace = try Namespace()
        try namespace.require(["ip", "link", "set", "lo", "up"])
        let server = try await RemoteAPIServer.start(
            program: BuiltProducts.testAPIServer, commandPrefix: namespace.commandPrefix)
        var slices = (0..<cluster.services).map { cluster.slice($0) }
        let file = ObjectListFile()
        try file.write(objects(slices))
        try await server.load(file: file.path)
        let daemon = try DaemonProcess(
            BuiltProducts.switchyard, in: namespace,
            [
                "--kubeconfig", server.kubeconfigPath, "--variant", variant, "--family", "ipv4", "--no-nfacct",
                "--hostname-override", Self.nodeName,
            ])
        #expect(await daemon.waitUntilHealthy(.seconds(60)), "\(daemon.log.suffix(4000))")

        for change in 0..<100 {
            let index = change * 7 % cluster.services
            slices[index] = cluster.slice(index, generation: change + 1)
            try await server.set(json: LargeCluster.json(slices[index]))
            try await Task.sleep(for: .milliseconds(50))
        }
        // What has not been sent in time comes all the same: first it is waited for, then the queue is looked at.
        try file.write(objects(slices))
        var difference: Command.Result?
        let isInKernel = try await DaemonProcess.wait(.seconds(60), every: .milliseconds(500)) {
            difference = try namespace.run([
                BuiltProducts.switchyard, "diff", "-f", file.path, "--variant", variant, "--family", "ipv4",
                "--hostname-override", Self.nodeName,
            ])
            return difference?.status == 0
        }
        #expect(isInKernel, "\(difference?.output.prefix(4000) ?? "")\(daemon.log.suffix(4000))")
        let isQueueEmpty = await DaemonProcess.wait {
            let families = daemon.status()?["families"] as? [[String: Any]] ?? []
            return families.count == 1 && families.allSatisfy { $0["pendingChanges"] == nil }
        }
        #expect(isQueueEmpty)
        #expect(daemon.stop() == 0)
    }

    private func objects(_ slices: [EndpointSlice]) -> [String] {
        let node = #"{"apiVersion":"v1","kind":"Node","metadata":{"name":"\#(Self.nodeName)"}}"#
        return [node] + (0..<cluster.services).map { LargeCluster.json(cluster.service($0)) }
            + slices.map(LargeCluster.json)
    }
}

/// A List in a file that is gone with it.
private final class ObjectListFile {
    let path = NSTemporaryDirectory() + "objects-\(UUID().uuidString).json"

    deinit { unlink(path) }

    func write(_ objects: [String]) throws {
        let text = #"{"apiVersion":"v1","kind":"List","items":["# + "\n" + objects.joined(separator: ",\n") + "\n]}\n"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
}
