import AsyncHTTPClient
import EndpointWatcher
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import ProxyCore

/// Says in the words of an operator why a request to the API server failed.
struct TransportFailure {
    enum Phase {
        /// Up to the head of the response.
        case request
        case response
    }

    private let settings: ConnectionSettings
    private let path: String
    private let connectTime: Duration

    init(_ settings: ConnectionSettings, path: String, connectTime: Duration) {
        self.settings = settings
        self.path = path
        self.connectTime = connectTime
    }

    /// Does something with the network, and throws an `APITransportError` where that fails, or `CancellationError`
    /// where the task is cancelled.
    func naming<Value>(
        _ phase: Phase, isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw APITransportError(sentence(error, phase))
        }
    }

    private func sentence(_ error: any Error, _ phase: Phase) -> String {
        switch phase {
        case .request: "\(settings.server): GET \(path) failed: \(cause(error))"
        case .response: "\(settings.server): the response to GET \(path) broke off: \(cause(error))"
        }
    }

    private func cause(_ error: any Error) -> String {
        switch error {
        case let error as IOError: return String(cString: strerror(error.errnoCode)).lowercasedFirst
        case let error as NIOConnectionError: return cause(error)
        case ChannelError.connectTimeout: return noConnection
        case let error as HTTPClientError: return cause(error)
        case HTTPParserError.headerOverflow: return "the response's headers are too large"
        case HTTPParserError.invalidEOFState: return "the server closed the connection"
        case is HTTPParserError: return "what the server answers is not HTTP"
        case ChannelError.ioOnClosedChannel, ChannelError.alreadyClosed, ChannelError.eof:
            return "the server closed the connection"
        case NIOSSLError.uncleanShutdown: return "the server closed the connection without ending TLS"
        case NIOSSLError.handshakeFailed(let error): return cause(error)
        case let error as BoringSSLError: return cause(error)
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            return "the server's certificate is not for \(settings.tls.serverName ?? settings.server.host)"
        default: return "\(error)".printable(limit: 200)
        }
    }

    /// A host name leads to several addresses, and each to a failure: the first stands for all.
    private func cause(_ error: NIOConnectionError) -> String {
        if let failure = error.connectionErrors.first { return cause(failure.error) }
        return error.dnsAError == nil && error.dnsAAAAError == nil
            ? noConnection : "no address is found for the name \(settings.server.host)"
    }

    private func cause(_ error: HTTPClientError) -> String {
        switch error {
        case .connectTimeout, .tlsHandshakeTimeout, .getConnectionFromPoolTimeout: noConnection
        case .remoteConnectionClosed: "the server closed the connection"
        case .alreadyShutdown, .cancelled: "the connection was shut down here"
        // Its full description may hold a header.
        default: error.shortDescription.lowercasedFirst
        }
    }

    private func cause(_ error: BoringSSLError) -> String {
        let errors: [BoringSSLInternalError]
        switch error {
        case .sslError(let stack), .unknownError(let stack), .invalidSNIName(let stack), .failedToSetALPN(let stack):
            errors = stack
        case .zeroReturn, .syscallError: return "the server closed the connection during the TLS handshake"
        default: return "the TLS handshake failed"
        }
        if errors.contains(.eofDuringHandshake) {
            return "the server closed the connection during the TLS handshake"
        }
        // BoringSSL's names of its reasons, which reach us as a part of a text only.
        let text = errors.map(\.description).joined(separator: "; ")
        let meaning = Self.meanings.first { text.contains($0.reason) }
        switch meaning?.cause {
        case .untrusted:
            return "the server's certificate is not trusted: it has expired, or was not issued by \(issuer)"
        case .other(let cause): return cause
        case nil: return "the TLS handshake failed: \(text.printable(limit: 200))"
        }
    }

    private enum Cause {
        case untrusted
        case other(String)
    }

    private static let meanings: [(reason: String, cause: Cause)] = [
        ("CERTIFICATE_VERIFY_FAILED", .untrusted),
        ("WRONG_VERSION_NUMBER", .other("the server does not speak TLS")),
        ("HTTP_REQUEST", .other("the server does not speak TLS")),
        ("UNSUPPORTED_PROTOCOL", .other("the server offers no TLS from version 1.2 on")),
        ("ALERT_PROTOCOL_VERSION", .other("the server offers no TLS from version 1.2 on")),
        ("CERTIFICATE_REQUIRED", .other("the server wants a client certificate")),
        ("ALERT_BAD_CERTIFICATE", .other("the server refuses the client certificate")),
        ("ALERT_CERTIFICATE", .other("the server refuses the client certificate")),
        ("ALERT_UNKNOWN_CA", .other("the server refuses the client certificate")),
        ("HANDSHAKE_FAILURE", .other("the server refuses the TLS handshake, or wants a client certificate")),
    ]

    private var issuer: String {
        switch settings.tls.authority {
        case nil: "an authority that this system trusts"
        case .file(let path): "the authority in \(path)"
        case .inline: "the authority in certificate-authority-data"
        }
    }

    private var noConnection: String { "no connection after \(connectTime.components.seconds) s" }
}

extension String {
    fileprivate var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}
