import EndpointWatcher
import Foundation
import NIOSSL
import TestSupport
import Testing

@testable import KubernetesAPI

extension TestAuthority {
    /// What a server with one of our certificates is set up with; with `clientAuthority` it wants a certificate too.
    static func serverTLS(
        _ identity: Identity, clientAuthority: Identity? = nil, maximumVersion: TLSVersion? = nil
    ) throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try identity.nioCertificates.map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(identity.key.utf8), format: .pem)))
        if let clientAuthority {
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .certificates(try clientAuthority.nioCertificates)
        }
        configuration.maximumTLSVersion = maximumVersion
        return configuration
    }
}

extension ConnectionSettings {
    /// Settings for a server of a test; `trusting` is the certificate of the authority that it must be issued by.
    static func test(
        _ server: ScriptedServer, usesTLS: Bool = true, host: String = "127.0.0.1", trusting authority: String? = nil
    ) -> ConnectionSettings {
        ConnectionSettings(
            server: ServerAddress(usesTLS: usesTLS, host: host, port: server.port),
            tls: TLS(authority: authority.map { .inline(Secret($0)) }))
    }
}

/// A port of 127.0.0.1 that is taken while this lives, and where nobody listens.
///
/// After a listener that is closed somebody may listen for a moment yet: a process that another test starts just then
/// has a copy of it until its exec.
struct SilentPort: ~Copyable {
    let number: Int
    private let descriptor: Int32

    init() throws {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        descriptor = socket(AF_INET, type, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { [descriptor] in
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        number = Int(UInt16(bigEndian: address.sin_port))
        try #require(isBound)
    }

    deinit { close(descriptor) }
}

/// What a server answered, whole.
struct Answer: Equatable {
    var head: APIResponseHead?
    var body = ""
}

/// Runs something with a transport and shuts that down.
@discardableResult
func withTransport<Value>(
    _ settings: ConnectionSettings, limits: HTTPTransport.Limits = .init(),
    _ body: (HTTPTransport) async throws -> Value
) async throws -> Value {
    let transport = try HTTPTransport(settings, limits: limits)
    let result: Result<Value, any Error>
    do {
        result = .success(try await body(transport))
    } catch {
        result = .failure(error)
    }
    await transport.shutdown()
    return try result.get()
}

/// Asks a server for one answer.
func expectAnswer(
    _ body: String, _ settings: ConnectionSettings, sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let answer = try await withTransport(settings) { try await $0.answer() }
    #expect(answer.body == body, sourceLocation: sourceLocation)
}

extension HTTPTransport {
    /// Asks for a path and collects the answer.
    func answer(_ path: String = "/version") async throws -> Answer {
        var answer = Answer()
        try await get(APIRequest(path: path, accept: "application/json")) { part in
            switch part {
            case .head(let head): answer.head = head
            case .body(let bytes): answer.body += String(decoding: bytes, as: UTF8.self)
            }
        }
        return answer
    }

    /// Why a request fails; nil if it does not.
    func failure(_ path: String = "/version") async throws -> String? {
        do {
            _ = try await answer(path)
            return nil
        } catch let error as APITransportError {
            return error.description
        }
    }
}
