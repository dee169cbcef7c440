import Foundation
import TestAPIServer
import TestSupport
import Testing

/// `render`, `diff` and `explain`, asked for the cluster that a kubeconfig names.
@Suite(
    "Commands, API server", .kernel("iptables-legacy-restore", "iptables-nft-restore", "ip6tables-nft-restore", "nft"))
struct ClusterCommandTests {
    private static let commands = [
        ["render"], ["render", "--family", "ipv6"], ["diff", "--variant", "nft"],
        ["diff", "--variant", "legacy", "--json"],
        ["explain", "--from", "10.180.1.7", "--to", "172.30.1.1:80", "--node-address", "192.168.0.2"],
        ["explain", "--from", "203.0.113.1", "--to", "192.168.0.2:31002", "--json"],
    ]

    @Test("They say the same as of files with the same objects", arguments: [true, false])
    func sameAsFiles(isJSON: Bool) async throws {
        let lab = try await APIServerLab(configuration: APIServerTests.configuration(isJSON: isJSON))
        for command in Self.commands {
            let options = command.dropFirst() + ["--config", lab.configurationFile]
            let start = [BuiltProducts.switchyard, command[0]]
            let byFiles = try lab.namespace.run(start + ["-f", lab.objectFile] + options)
            let byServer = try lab.namespace.run(start + ["--kubeconfig", lab.server.kubeconfigPath] + options)
            #expect(byServer.status == byFiles.status, "\(command): \(byServer.errors)")
            #expect(byServer.status == (command[0] == "diff" ? 1 : 0), "\(command): \(byServer.errors)")
            #expect(byServer.output == byFiles.output, "\(command)")
            #expect(byServer.errors == byFiles.errors, "\(command)")
            #expect(!byServer.output.isEmpty, "\(command)")
        }
    }

    /// Why a server does not answer as it should.
    enum WrongServer: String, CaseIterable {
        case refused, plain, untrusted, unauthorized, forbidden, garbage, brokenList, nameless

        /// What the sentence says.
        var words: String {
            switch self {
            case .refused: "connection refused"
            case .plain: "does not speak TLS"
            case .untrusted: "not trusted"
            case .unauthorized: "401: Unauthorized"
            case .forbidden: "is forbidden: User \"proxy\""
            case .garbage: "not HTTP"
            case .brokenList: "the list of /api/v1/services"
            case .nameless: "no address is found for the name"
            }
        }
    }

    @Test("A server that cannot be asked is told in one sentence, with status 2", arguments: WrongServer.allCases)
    func wrongServer(_ fault: WrongServer) async throws {
        let lab = try await APIServerLab {
            if fault == .plain { $0.isTLS = false }
            if fault == .unauthorized || fault == .forbidden { $0.credentials = Credentials(tokens: ["t": "proxy"]) }
        }
        var other: APIServerLab?
        var arguments = ["--kubeconfig", lab.server.kubeconfigPath]
        let address = "https://127.0.0.1:\(lab.server.port)"
        switch fault {
        case .refused: try await lab.server.send(.refuseConnections)
        case .plain: arguments += ["--server", address]
        case .untrusted:
            let stranger = try await APIServerLab("nft", [])
            other = stranger
            arguments = ["--kubeconfig", stranger.server.kubeconfigPath, "--server", address]
        case .unauthorized:
            try await lab.server.send(.setCredentials(credentials: Credentials(tokens: ["u": "proxy"])))
        case .forbidden:
            try await lab.server.send(
                .setCredentials(credentials: Credentials(tokens: ["t": "proxy"], usersWithoutRights: ["proxy"])))
        case .garbage: try await lab.server.fail(Fault(.garbage(bytes: 100)))
        case .brokenList: try await lab.server.fail(Fault(.reset(afterBytes: 100), resource: "services"))
        case .nameless: arguments += ["--server", "https://switchyard.invalid:6443"]
        }
        let result = try lab.namespace.run(
            [BuiltProducts.switchyard, "render"] + arguments + ["--config", lab.configurationFile])
        #expect(result.status == 2)
        #expect(result.output == "")
        #expect(
            result.errors.hasPrefix("switchyard: error: ") && result.errors.contains(fault.words), "\(result.errors)")
        #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
        withExtendedLifetime(other) {}
    }
}
