import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import KubernetesAPI

@Suite("Connection settings")
struct SettingsTests {
    private let folder: TestFolder
    private let made: TestAuthority

    init() throws {
        folder = try TestFolder()
        made = try TestAuthority.shared.get()
    }

    private func load(
        _ text: String? = nil, server: String? = nil, context: String? = nil, environment: [String: String] = [:]
    ) throws -> (settings: ConnectionSettings, diagnostics: [String]) {
        let kubeconfig = try text.map { try folder.write($0, to: "kubeconfig") }
        let (settings, diagnostics) = try ConnectionSettings.load(
            kubeconfig: kubeconfig, server: server, context: context, environment: environment,
            serviceAccountFolder: folder.path)
        return (settings, diagnostics.map { $0.description.replacing("\(folder.path)/", with: "") })
    }

    private func refusal(
        _ text: String? = nil, server: String? = nil, context: String? = nil, environment: [String: String] = [:]
    ) -> String {
        do {
            return "none: \(try load(text, server: server, context: context, environment: environment))"
        } catch {
            return "\(error)".replacing("\(folder.path)/", with: "")
        }
    }

    @Test(
        "read addresses",
        arguments: [
            ("https://10.0.0.1:6443", "https://10.0.0.1:6443"), ("HTTPS://API.example.com/", "https://API.example.com"),
            ("https://[fd00::1]:6443/a/b/", "https://[fd00::1]:6443/a/b"), ("http://localhost", "http://localhost"),
            ("https://a:443", "https://a"), ("10.0.0.1:6443", nil), ("https://", nil), ("https://:6443", nil),
            ("https://a:0", nil), ("https://a:65536", nil), ("https://a:+80", nil), ("https://a:", nil),
            ("https://a b", nil), ("https://u:p@a", nil), ("https://a/?x", nil), ("https://a#x", nil),
            ("https://[fd00::1", nil), ("https://[a]", nil), ("https://[10.0.0.1]", nil), ("https://fd00::1", nil),
            ("ftp://a", nil), ("https://a\n", nil), ("https://ä", nil), ("https://[::1]x", nil), ("", nil),
        ])
    func addresses(text: String, expected: String?) {
        #expect(ServerAddress(text)?.description == expected)
    }

    @Test("of a pod come from its service account")
    func inCluster() throws {
        try folder.write("token\n", to: "token")
        try folder.write(made.authority.certificate, to: "ca.crt")
        let environment = ["KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"]
        let (settings, diagnostics) = try load(environment: environment)
        #expect(settings.server.description == "https://[fd00::1]")
        #expect(settings.tls == .init(authority: .file(folder.path("ca.crt"))))
        #expect(settings.authorization == .tokenFile(folder.path("token")))
        #expect(settings.clientCertificate == nil)
        #expect(diagnostics == [])
    }

    @Test("of a pod are refused with all that is wrong")
    func inClusterFaults() throws {
        #expect(
            refusal()
                == "error: no API server: neither a kubeconfig file nor an address is given, and "
                + "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, which are set in a pod, are not")
        try folder.write("nonsense", to: "ca.crt")
        #expect(
            refusal(environment: ["KUBERNETES_SERVICE_HOST": "a b", "KUBERNETES_SERVICE_PORT": "x"]) == """
                error: KUBERNETES_SERVICE_HOST: "a b" is not the name or the address of a host
                error: KUBERNETES_SERVICE_PORT: "x" is not a port
                token: error: cannot be opened: No such file or directory
                ca.crt: error: holds no certificate in PEM
                """)
    }

    @Test("of an address alone have no credentials, and go before those of a pod")
    func addressAlone() throws {
        let environment = ["KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"]
        let (settings, _) = try load(server: "http://127.0.0.1:8080", environment: environment)
        #expect(
            settings == ConnectionSettings(server: ServerAddress(usesTLS: false, host: "127.0.0.1", port: 8080)))
        #expect(
            refusal(server: "127.0.0.1:8080")
                == "error: API server address: \"127.0.0.1:8080\" is not an address such as https://10.0.0.1:6443")
    }

    private static let whole = """
        apiVersion: v1
        kind: Config
        preferences: {}
        current-context: main
        contexts:
        - {name: main, context: {cluster: c, user: u, namespace: ns}}
        - {name: other, context: {cluster: d, user: v}}
        - {name: nobody, context: {cluster: c}}
        clusters:
        - {name: c, cluster: {server: "https://10.0.0.1:6443/x", certificate-authority: pki/ca.crt, tls-server-name: api}}
        - {name: d, cluster: {server: "http://10.0.0.2", insecure-skip-tls-verify: false, disable-compression: true}}
        users:
        - name: u
          user: {client-certificate: client.crt, client-key: client.key, token: ignored, tokenFile: token}
        - name: v
          user:
            exec:
              apiVersion: client.authentication.k8s.io/v1
              command: bin/login
              args: [get]
              env: [{name: A, value: b}]
              interactiveMode: IfAvailable
              installHint: none
              provideClusterInfo: true
        """

    private func writeFiles() throws {
        try FileManager.default.createDirectory(atPath: folder.path("pki"), withIntermediateDirectories: true)
        try folder.write(made.authority.certificate, to: "pki/ca.crt")
        try folder.write(made.clients[0].certificate, to: "client.crt")
        try folder.write(made.clients[0].key, to: "client.key")
        try folder.write("token", to: "token")
    }

    @Test("of a kubeconfig are those of its current context, with paths from its folder")
    func currentContext() throws {
        try writeFiles()
        let (settings, diagnostics) = try load(Self.whole)
        #expect(
            settings
                == ConnectionSettings(
                    server: ServerAddress(usesTLS: true, host: "10.0.0.1", port: 6443, pathPrefix: "/x"),
                    tls: .init(authority: .file(folder.path("pki/ca.crt")), serverName: "api"),
                    authorization: .tokenFile(folder.path("token")),
                    clientCertificate: .init(
                        certificate: .file(folder.path("client.crt")), key: .file(folder.path("client.key")))))
        #expect(diagnostics == [])
        let elsewhere = try load(Self.whole, server: "https://192.0.2.1").settings
        var expected = settings
        expected.server = ServerAddress(usesTLS: true, host: "192.0.2.1", port: 443)
        #expect(elsewhere == expected)
    }

    @Test("of a kubeconfig can be those of another context")
    func otherContext() throws {
        let (settings, diagnostics) = try load(Self.whole, context: "other")
        let server = ServerAddress(usesTLS: false, host: "10.0.0.2", port: 80)
        let plugin = ExecPlugin(
            command: folder.path("bin/login"), arguments: ["get"],
            environment: [.init(name: "A", value: Secret("b"))], cluster: .init(server: "http://10.0.0.2"))
        #expect(settings == ConnectionSettings(server: server, authorization: .plugin(plugin)))
        #expect(
            diagnostics == [
                "kubeconfig: warning: server http://10.0.0.2: the credentials are sent without TLS, so that they can be read on the way"
            ])
        try writeFiles()
        #expect(try load(Self.whole, context: "nobody").settings.authorization == .none)
        #expect(
            refusal(Self.whole, context: "third")
                == #"kubeconfig:1: error: "third" is none of the contexts (main, other, nobody)"#)
    }

    @Test("of a kubeconfig can hold their certificates inline")
    func inline() throws {
        func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
        let (settings, diagnostics) = try load(
            """
            current-context: a
            contexts: [{name: a, context: {cluster: a, user: a}}]
            clusters:
            - {name: a, cluster: {server: "https://a", certificate-authority-data: \(base64(made.authority.certificate))}}
            users:
            - name: a
              user:
                client-certificate-data: \(base64(made.clients[0].certificate))
                client-key-data: \(base64(made.clients[0].key))
            """)
        #expect(settings.tls.authority == .inline(Secret(made.authority.certificate)))
        #expect(settings.clientCertificate?.certificate == .inline(Secret(made.clients[0].certificate)))
        #expect(settings.clientCertificate?.key == .inline(Secret(made.clients[0].key)))
        #expect(diagnostics == [])
    }
}
