import Foundation
import TestAPIServer
import TestSupport
import Testing

/// The daemon and an API server. What the kernel should hold is decided by `diff`.
@Suite(
    "Daemon, API server",
    .kernel("iptables-legacy-restore", "iptables-nft-restore", "ip6tables-nft-restore", "nft"))
struct APIServerTests {
    static let variants = ["nft", "legacy"]

    /// Takes turns with the variants.
    static func variant<Element: Equatable>(of element: Element, in all: [Element]) -> String {
        variants[(all.firstIndex(of: element) ?? 0) % 2]
    }

    static func configuration(isJSON: Bool) -> String {
        """
        clusterCIDR: 10.180.0.0/16,fd00:10:180::/48
        clientConnection: { contentType: \(isJSON ? "application/json" : "application/vnd.kubernetes.protobuf") }
        """
    }

    @Test(
        "The first sync waits until Services and EndpointSlices have both arrived",
        arguments: zip([("services", "EndpointSlice"), ("endpointslices", "Service")], variants))
    func firstSync(_ lists: (stalled: String, other: String), _ variant: String) async throws {
        let lab = try await APIServerLab(variant)
        try await lab.server.fail(Fault(.stall, resource: lists.stalled))
        let daemon = try lab.startDaemon()
        let isOtherThere = await DaemonProcess.wait {
            daemon.syncedKinds == [lists.other, "Node", "ServiceCIDR"]
        }
        #expect(isOtherThere)
        try await Task.sleep(for: .seconds(1))
        #expect(try !lab.hasChains())
        #expect(daemon.status()?["healthy"] as? Bool == false)
        try await lab.server.send(.clearFaults)
        try await lab.server.send(.closeConnections)
        try await lab.expectRulesToFollow(daemon)
        #expect(try lab.hasChains())
        await daemon.expectRecovery()
        #expect(daemon.stop() == 0)
        // The rules stay.
        try await lab.expectRulesToHold(for: .zero, daemon)
    }

    @Test(
        "Changes are followed in both encodings, with streaming lists and without", arguments: [true, false],
        [true, false])
    func encodings(isJSON: Bool, isStreamed: Bool) async throws {
        let lab = try await APIServerLab(
            isJSON ? "legacy" : "nft", configuration: Self.configuration(isJSON: isJSON)
        ) { if !isStreamed { $0.initialEvents = .refused(code: 400) } }
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        try await lab.changeObjects()
        try await lab.expectRulesToFollow(daemon)
        let answered = try await lab.server.requests().filter { $0.status == 200 }
        let type = isJSON ? "application/json" : "application/vnd.kubernetes.protobuf"
        #expect(answered.allSatisfy { $0.contentType?.hasPrefix(type) == true })
        #expect(answered.count { $0.query.contains("sendInitialEvents=true") } == (isStreamed ? 4 : 0))
        #expect(answered.count { !$0.query.contains("watch=true") } == (isStreamed ? 0 : 4))
        #expect(daemon.interruptions.isEmpty)
    }

    @Test("A token that is replaced while the server knows only the new one is read again")
    func tokenRotates() async throws {
        let lab = try await APIServerLab { $0.credentials = Credentials(tokens: ["old": "proxy"]) }
        let folder = URL(fileURLWithPath: lab.configurationFile).deletingLastPathComponent()
        let tokenFile = folder.appending(path: "token")
        try Data("old".utf8).write(to: tokenFile)
        var kubeconfig = try JSONValue(parsing: Data(contentsOf: URL(fileURLWithPath: lab.server.kubeconfigPath)))
        kubeconfig["users"] = [["name": "proxy", "user": ["tokenFile": .string(tokenFile.path)]]]
        let file = folder.appending(path: "kubeconfig")
        try Data(kubeconfig.text).write(to: file)
        let daemon = try lab.startDaemon(kubeconfig: file.path)
        try await lab.expectRulesToFollow(daemon)

        try await lab.server.send(.setCredentials(credentials: Credentials(tokens: ["new": "proxy"])))
        try await lab.server.send(.closeConnections)
        try await lab.changeObjects()
        #expect(await daemon.waitForInterruption().contains("401"))
        try await lab.expectRulesToHold(daemon)
        try Data("new\n".utf8).write(to: tokenFile, options: .atomic)
        try await lab.expectRulesToFollow(daemon)
        await daemon.expectRecovery()

        // The file is ahead of the server's refusal: nothing is interrupted, as it is read again at once.
        try Data("newer".utf8).write(to: tokenFile, options: .atomic)
        try await lab.server.send(.setCredentials(credentials: Credentials(tokens: ["newer": "proxy"])))
        let before = daemon.log.count
        try await lab.server.send(.closeConnections)
        try await lab.set(ServedObjects.slice("new", endpoints: [10]))
        try await lab.expectRulesToFollow(daemon)
        #expect(!daemon.log.dropFirst(before).contains("401"))
    }

    @Test("A server that comes back with an earlier state, and lower versions, is followed", arguments: variants)
    func restoredServer(_ variant: String) async throws {
        let lab = try await APIServerLab(variant) {
            $0.isTLS = false
            $0.firstVersion = 100_000
        }
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        try await lab.replaceServer {
            $0.isTLS = false
            $0.bookmarkMilliseconds = 500
        }
        for object in ServedObjects.beginning where object["metadata"]["name"] != "spare" {
            try await lab.set(object)
        }
        try await lab.set(ServedObjects.slice("plain", endpoints: [1, 11]))
        try await lab.delete(ServedObjects.slice("spare", endpoints: []))
        try await lab.expectRulesToFollow(daemon)
        await daemon.expectRecovery()
        try await lab.set(ServedObjects.slice("plain", endpoints: [12]))
        try await lab.expectRulesToFollow(daemon)
    }
}
