import Foundation
import NIOSSL
import Synchronization
import Testing

@testable import KubernetesAPI

@Suite("TLS")
struct TLSTests {
    private let made: TestAuthority

    init() throws {
        made = try TestAuthority.shared.get()
    }

    @Test("trusts a server whose certificate comes from the given authority, inline or in a file")
    func trusted() async throws {
        let folder = try TestFolder()
        let file = try folder.write(made.authority.certificate, to: "ca.crt")
        try await ScriptedServer.answering(tls: TestAuthority.serverTLS(made.server)) { server in
            var settings = ConnectionSettings.test(server, trusting: made.authority.certificate)
            try await expectAnswer("ok", settings)
            settings.tls.authority = .file(file)
            try await expectAnswer("ok", settings)
            settings.server.host = "localhost"
            try await expectAnswer("ok", settings)
        }
    }

    @Test("refuses a server whose certificate comes from elsewhere, and sends it nothing")
    func untrusted() async throws {
        let wasAsked = Mutex(false)
        let answer: @Sendable (String) -> String = { _ in
            wasAsked.withLock { $0 = true }
            return "ok"
        }
        try await ScriptedServer.answering(tls: TestAuthority.serverTLS(made.server), answer) { server in
            var settings = ConnectionSettings.test(server, trusting: made.otherAuthority.certificate)
            let label = "https://127.0.0.1:\(server.port): GET /version failed: "
            let reason = "the server's certificate is not trusted: it has expired, or was not issued by "
            var failure = try await withTransport(settings) { try await $0.failure() }
            #expect(failure == label + reason + "the authority in certificate-authority-data")
            settings.tls.authority = nil
            failure = try await withTransport(settings) { try await $0.failure() }
            #expect(failure == label + reason + "an authority that this system trusts")
        }
        #expect(!wasAsked.withLock { $0 })
    }

    @Test("refuses a server with a certificate for another name, unless that is the one to expect")
    func names() async throws {
        try await ScriptedServer.answering(
            tls: TestAuthority.serverTLS(made.elsewhere), { $0.header("Host") ?? "" }
        ) { server in
            var settings = ConnectionSettings.test(server, trusting: made.authority.certificate)
            var failure = try await withTransport(settings) { try await $0.failure() }
            #expect(
                failure == "https://127.0.0.1:\(server.port): GET /version failed: "
                    + "the server's certificate is not for 127.0.0.1")
            settings.server.host = "localhost"
            failure = try await withTransport(settings) { try await $0.failure() }
            #expect(
                failure == "https://localhost:\(server.port): GET /version failed: "
                    + "the server's certificate is not for localhost")
            for host in ["127.0.0.1", "localhost"] {
                settings.server.host = host
                settings.tls.serverName = "elsewhere.test"
                let answer = try await withTransport(settings) { try await $0.answer() }
                #expect(answer.body == "\(host):\(server.port)")
            }
            settings.tls.serverName = "wrong.test"
            failure = try await withTransport(settings) { try await $0.failure() }
            #expect(failure?.hasSuffix("the server's certificate is not for wrong.test") == true)
        }
    }

    @Test("believes anybody only where that is asked for")
    func insecure() async throws {
        try await ScriptedServer.answering(tls: TestAuthority.serverTLS(made.elsewhere)) { server in
            var settings = ConnectionSettings.test(server)
            let failure = try await withTransport(settings) { try await $0.failure() }
            #expect(failure != nil)
            settings.tls.isVerified = false
            try await expectAnswer("ok", settings)
        }
    }

    @Test("is not spoken below version 1.2")
    func versions() async throws {
        var tls = try TestAuthority.serverTLS(made.server, maximumVersion: .tlsv12)
        try await ScriptedServer.answering(tls: tls) { server in
            let settings = ConnectionSettings.test(server, trusting: made.authority.certificate)
            try await expectAnswer("ok", settings)
        }
        tls.maximumTLSVersion = .tlsv11
        tls.minimumTLSVersion = .tlsv1
        try await ScriptedServer.answering(tls: tls) { server in
            let settings = ConnectionSettings.test(server, trusting: made.authority.certificate)
            let failure = try await withTransport(settings) { try await $0.failure() }
            #expect(
                failure?.hasSuffix("failed: the server offers no TLS from version 1.2 on") == true, "\(failure ?? "")")
        }
    }

    @Test("shows the client certificate, and a newer one once its files are replaced", arguments: [false, true])
    func clientCertificate(inFiles: Bool) async throws {
        let shown = Mutex<[NIOSSLCertificate]>([])
        let folder = try TestFolder()
        let tls = try TestAuthority.serverTLS(made.server, clientAuthority: made.authority)
        func write(_ client: TestAuthority.Identity) throws {
            try folder.write(client.certificate, to: "client.crt")
            try folder.write(client.key, to: "client.key")
        }
        try write(made.clients[0])
        try await ScriptedServer.run(tls: tls) { peer in
            while await peer.request() != nil {
                let certificate = try await peer.clientCertificate
                shown.withLock { $0 += certificate.map { [$0] } ?? [] }
                try await peer.respond("ok")
            }
        } body: { server in
            var settings = ConnectionSettings.test(server, trusting: made.authority.certificate)
            settings.clientCertificate =
                inFiles
                ? .init(certificate: .file(folder.path("client.crt")), key: .file(folder.path("client.key")))
                : .init(
                    certificate: .inline(Secret(made.clients[0].certificate)),
                    key: .inline(Secret(made.clients[0].key)))
            try await withTransport(settings) { transport in
                _ = try await transport.answer()
                let first = try made.clients[0].nioCertificates
                #expect(shown.withLock { $0 } == first)
                // Half of the change: certificate and key do not belong together.
                try folder.write(made.clients[1].certificate, to: "client.crt")
                _ = try await transport.answer()
                try write(made.clients[1])
                _ = try await transport.answer()
                let expected = try [0, 0, inFiles ? 1 : 0].flatMap { try made.clients[$0].nioCertificates }
                #expect(shown.withLock { $0 } == expected)
            }
        }
    }

    @Test(
        "without the client certificate that a server wants fails with a sentence",
        arguments: [TLSVersion.tlsv12, .tlsv13])
    func missingClientCertificate(version: TLSVersion) async throws {
        let tls = try TestAuthority.serverTLS(made.server, clientAuthority: made.authority, maximumVersion: version)
        try await ScriptedServer.answering(tls: tls) { server in
            let settings = ConnectionSettings.test(server, trusting: made.authority.certificate)
            let failure = try await withTransport(settings) { try await $0.failure() }
            #expect(failure?.contains("wants a client certificate") == true, "\(failure ?? "")")
        }
    }

    @Test("cannot be set up with a key of another certificate")
    func mismatchedKey() throws {
        let settings = ConnectionSettings(
            server: ServerAddress(usesTLS: true, host: "127.0.0.1", port: 1),
            clientCertificate: .init(
                certificate: .inline(Secret(made.clients[0].certificate)), key: .inline(Secret(made.clients[1].key))))
        #expect {
            try HTTPTransport(settings)
        } throws: {
            "\($0)" == "client certificate and its key do not belong together"
        }
    }

    @Test("is not what a server without it speaks")
    func plainServer() async throws {
        try await ScriptedServer.run { peer in
            try await peer.send("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
            _ = await peer.request()
        } body: { server in
            let failure = try await withTransport(.test(server)) { try await $0.failure() }
            #expect(
                failure == "https://127.0.0.1:\(server.port): GET /version failed: the server does not speak TLS")
        }
    }
}
