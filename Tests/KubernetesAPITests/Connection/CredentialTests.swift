import EndpointWatcher
import Foundation
import NIOSSL
import Testing

@testable import KubernetesAPI

/// Answers with the header `Authorization` of each request.
private func echoAuthorization(_ request: String) -> String { request.header("Authorization") ?? "none" }

@Suite("Credentials")
struct CredentialTests {
    @Test("go with each request")
    func given() async throws {
        try await ScriptedServer.answering(echoAuthorization) { server in
            var settings = ConnectionSettings.test(server, usesTLS: false)
            try await expectAnswer("none", settings)
            settings.authorization = .token(Secret("abc.def"))
            try await expectAnswer("Bearer abc.def", settings)
            settings.authorization = .basic(user: "user", password: Secret("pass:word"))
            try await expectAnswer("Basic dXNlcjpwYXNzOndvcmQ=", settings)
        }
    }

    @Test("in a file are read again when they are old or refused, not before")
    func tokenFile() async throws {
        let folder = try TestFolder()
        let path = try folder.write("  first\n", to: "token")
        try await ScriptedServer.answering(echoAuthorization) { server in
            var settings = ConnectionSettings.test(server, usesTLS: false)
            settings.authorization = .tokenFile(path)
            var limits = HTTPTransport.Limits()
            limits.credentials.tokenAge = .seconds(3600)
            try await withTransport(settings, limits: limits) { transport in
                var seen = [try await transport.answer().body]
                try folder.write("second", to: "token")
                seen.append(try await transport.answer().body)
                await transport.credentialsWereRefused()
                seen.append(try await transport.answer().body)
                #expect(seen == ["Bearer first", "Bearer first", "Bearer second"])
            }
            limits.credentials.tokenAge = .zero
            try await withTransport(settings, limits: limits) { transport in
                var seen = [try await transport.answer().body]
                try folder.write("third", to: "token")
                seen.append(try await transport.answer().body)
                // Not there for a moment.
                try FileManager.default.removeItem(atPath: path)
                seen.append(try await transport.answer().body)
                #expect(seen == ["Bearer second", "Bearer third", "Bearer third"])
                await transport.credentialsWereRefused()
                let failure = try await transport.failure()
                #expect(failure == "token file \(path): cannot be opened: No such file or directory")
            }
        }
    }

    @Test(
        "in a file that is no token are refused without being shown",
        arguments: [("\n", "holds no token"), ("a b", "holds characters that a token cannot have")])
    func badTokenFile(content: String, sentence: String) async throws {
        let folder = try TestFolder()
        let path = try folder.write(content, to: "token")
        let settings = ConnectionSettings(
            server: ServerAddress(usesTLS: false, host: "127.0.0.1", port: 1), authorization: .tokenFile(path))
        let failure = try await withTransport(settings) { try await $0.failure() }
        #expect(failure == "token file \(path): \(sentence)")
    }

    @Test("are not shown by anything that prints settings")
    func hidden() {
        let server = ServerAddress(usesTLS: true, host: "a", port: 1)
        let settings = ConnectionSettings(
            server: server, authorization: .basic(user: "u", password: Secret("hush")),
            clientCertificate: .init(certificate: .file("/c"), key: .inline(Secret("hush"))))
        var dumped = ""
        dump(settings, to: &dumped)
        #expect(!"\(settings) \(String(reflecting: settings)) \(dumped)".contains("hush"))
    }
}

@Suite("Credential plugins")
struct PluginTests {
    private let folder: TestFolder

    init() throws {
        folder = try TestFolder()
    }

    private static let far = "2099-01-02T15:04:05.5+02:00"
    private static let past = "2001-01-02T15:04:05Z"

    /// A plugin that notes each run and does what `script` says.
    private func plugin(_ script: String, name: String = "plugin") throws -> ExecPlugin {
        ExecPlugin(command: try folder.writeScript("echo run >>$folder/runs\n\(script)", to: name))
    }

    /// A plugin that prints a token with the number of the run.
    private func tokens(expiring date: String? = nil) throws -> ExecPlugin {
        let expiration = date.map { ", \"expirationTimestamp\": \"\($0)\"" } ?? ""
        return try plugin(
            """
            token="t$(wc -l <$folder/runs)"
            echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "'$token'"\(expiration)}}'
            """)
    }

    private var runs: Int { folder.read("runs").split(separator: "\n").count }

    private func settings(_ plugin: ExecPlugin) -> ConnectionSettings {
        ConnectionSettings(
            server: ServerAddress(usesTLS: false, host: "127.0.0.1", port: 1), authorization: .plugin(plugin))
    }

    private func store(
        _ plugin: ExecPlugin, interval: Duration = .seconds(3600), time: Duration = .seconds(60)
    ) throws -> CredentialStore {
        try CredentialStore(settings(plugin), limits: .init(runInterval: interval, runTime: time))
    }

    private func failure(_ store: CredentialStore) async throws -> String {
        do {
            return "none: \(try await store.access().authorization?.text ?? "")"
        } catch let error as APITransportError {
            return error.description
        }
    }

    @Test("are run once for all requests until the credential expires", arguments: [nil, far])
    func kept(expiration: String?) async throws {
        try await ScriptedServer.answering(echoAuthorization) { server in
            var settings = settings(try tokens(expiring: expiration))
            settings.server.port = server.port
            try await withTransport(settings) { transport in
                let bodies = [try await transport.answer().body, try await transport.answer().body]
                #expect(bodies == ["Bearer t1", "Bearer t1"])
            }
        }
        #expect(runs == 1)
    }

    @Test("are run again for an expired credential, twice in an interval at most")
    func expired() async throws {
        let limited = try store(try tokens(expiring: Self.past))
        var seen: [String?] = []
        for _ in 0..<4 { seen.append(try await limited.access().authorization?.text) }
        #expect(seen == ["Bearer t1", "Bearer t2", "Bearer t2", "Bearer t2"])
        let unlimited = try store(try tokens(expiring: Self.past), interval: .zero)
        for _ in 0..<3 { _ = try await unlimited.access() }
        #expect(runs == 5)
    }

    @Test("are run again once the server refuses the credential, twice in an interval at most")
    func refused() async throws {
        let store = try store(try tokens())
        var seen = [try await store.access().authorization?.text]
        for _ in 0..<3 {
            await store.wereRefused()
            seen.append(try await store.access().authorization?.text)
            seen.append(try await store.access().authorization?.text)
        }
        #expect(seen == ["Bearer t1"] + Array(repeating: "Bearer t2", count: 6))
        #expect(runs == 2)
    }

    @Test("are never run beside themselves")
    func oneAtATime() async throws {
        let store = try store(
            try plugin(
                """
                sleep 0.2
                echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}'
                """))
        try await withThrowingTaskGroup(of: Secret?.self) { group in
            for _ in 0..<8 { group.addTask { try await store.access().authorization } }
            for try await secret in group { #expect(secret?.text == "Bearer t") }
        }
        #expect(runs == 1)
    }

    @Test(
        "that fail are told with what they said",
        arguments: [
            ("echo 'no login:\n run x' >&2; exit 3", #"ended with status 3: no login:\n run x"#),
            ("kill -9 $$", "was ended by signal 9"),
            ("echo hello", "printed something else than an ExecCredential in JSON"),
            ("true", "printed something else than an ExecCredential in JSON"),
            ("yes", "printed more than 1048576 bytes"),
            (
                #"echo '{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": {"token": "hush"}}'"#,
                "did not print an ExecCredential of client.authentication.k8s.io/v1"
            ),
            (
                #"echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}'"#,
                "printed an ExecCredential without a status"
            ),
            (
                #"echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {}}'"#,
                "printed neither a token nor a client certificate"
            ),
            (
                #"echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "hu sh"}}'"#,
                "printed a token that holds characters that a token cannot have"
            ),
            (
                #"echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"clientKeyData": "hush"}}'"#,
                "printed only one of clientCertificateData and clientKeyData"
            ),
            (
                #"echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "hush", "expirationTimestamp": "soon"}}'"#,
                "printed an expirationTimestamp that is not a time such as 2026-01-02T15:04:05Z"
            ),
        ])
    func failing(script: String, sentence: String) async throws {
        let plugin = try plugin(script)
        let store = try store(plugin)
        for _ in 0..<4 {
            #expect(try await failure(store) == "credential plugin \(plugin.command): \(sentence)")
        }
        #expect(runs == 2)
    }

    @Test("that are not there are told")
    func missing() async throws {
        let failure = try await failure(try store(ExecPlugin(command: "/nowhere/plugin")))
        #expect(failure.hasPrefix("credential plugin /nowhere/plugin: cannot be started: "), "\(failure)")
    }

    @Test("that hang are ended, with what they have started")
    func hanging() async throws {
        let plugin = try plugin("sleep 600 & echo $! >$folder/child; wait")
        let failure = try await failure(try store(plugin, time: .seconds(3)))
        #expect(failure == "credential plugin \(plugin.command): was not done after 3 s, and was ended")
        #expect(try await eventually { hasEnded(folder.read("child")) })
    }

    @Test("end when nobody waits for them any more, and go on as long as somebody does")
    func cancellation() async throws {
        let plugin = try plugin(
            """
            echo $$ >$folder/child
            while [ ! -e $folder/go ]; do sleep 0.02; done
            echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}'
            """)
        let store = try store(plugin)
        let only = Task { try await store.access() }
        #expect(try await eventually { !folder.read("child").isEmpty })
        only.cancel()
        await #expect(throws: CancellationError.self) { try await only.value }
        #expect(try await eventually { hasEnded(folder.read("child")) })
        let first = Task { try await store.access() }
        let second = Task { try await store.access() }
        #expect(try await eventually { runs == 2 })
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        try folder.write("", to: "go")
        #expect(try await second.value.authorization?.text == "Bearer t")
        #expect(runs == 2)
    }

    @Test("end with the transport")
    func shutdown() async throws {
        let plugin = try plugin("echo $$ >$folder/child; sleep 600")
        let transport = try HTTPTransport(settings(plugin))
        let request = Task { try await transport.answer() }
        #expect(try await eventually { !folder.read("child").isEmpty })
        await transport.shutdown()
        #expect(hasEnded(folder.read("child")))
        await #expect(throws: APITransportError.self) { try await request.value }
    }

    @Test("are told what they are asked for", arguments: [true, false])
    func information(aboutCluster: Bool) async throws {
        var plugin = try plugin(
            """
            printf '%s' "$KUBERNETES_EXEC_INFO" >$folder/info; printf '%s' "$*:$NAME:${PATH:+path}" >$folder/call
            echo '{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": {"token": "t"}}'
            """)
        plugin.version = .v1beta1
        plugin.arguments = ["a b", "c"]
        plugin.environment = [.init(name: "NAME", value: Secret("value"))]
        if aboutCluster {
            plugin.cluster = .init(
                server: "https://a:6443", serverName: "b", isVerified: false, authority: .inline(Secret("pem")))
        }
        _ = try await store(plugin).access()
        let cluster =
            #""cluster":{"certificate-authority-data":"cGVt","insecure-skip-tls-verify":true,"#
            + #""server":"https://a:6443","tls-server-name":"b"},"#
        #expect(
            folder.read("info") == #"{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","#
                + #""spec":{\#(aboutCluster ? cluster : "")"interactive":false}}"#)
        #expect(folder.read("call") == "a b c:value:path")
    }

    @Test("can give a client certificate, which new connections show")
    func certificate() async throws {
        let made = try TestAuthority.shared.get()
        for (index, client) in made.clients.enumerated() {
            let status = ["clientCertificateData": client.certificate, "clientKeyData": client.key]
            let credential: [String: Any] = [
                "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status,
            ]
            let json = try JSONSerialization.data(withJSONObject: credential)
            try folder.write(String(decoding: json, as: UTF8.self), to: "credential-\(index + 1)")
        }
        let plugin = try plugin("cat $folder/credential-$(($(wc -l <$folder/runs)))")
        let tls = try TestAuthority.serverTLS(made.server, clientAuthority: made.authority)
        let first = try made.clients[0].nioCertificates.first
        try await ScriptedServer.run(tls: tls) { peer in
            while await peer.request() != nil {
                try await peer.respond(try await peer.clientCertificate == first ? "first" : "second")
            }
        } body: { server in
            var settings = ConnectionSettings.test(server, trusting: made.authority.certificate)
            settings.authorization = .plugin(plugin)
            try await withTransport(settings) { transport in
                var bodies = [try await transport.answer().body]
                await transport.credentialsWereRefused()
                bodies.append(try await transport.answer().body)
                #expect(bodies == ["first", "second"])
            }
        }
    }
}

/// Whether the process with this number, as a script has written it, is gone.
private func hasEnded(_ number: String) -> Bool {
    guard let pid = pid_t(number.trimmingCharacters(in: .whitespacesAndNewlines)) else { return false }
    if kill(pid, 0) != 0 { return true }
    // One whose parent has not waited for it is over as well.
    let status = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
    return status.isEmpty || status.contains(") Z ")
}
