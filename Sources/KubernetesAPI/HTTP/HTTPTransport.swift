import AsyncHTTPClient
public import EndpointWatcher
import NIOCore
import NIOHTTP1

/// Sends requests to one API server over HTTP/1.1, with its TLS and its credentials.
///
/// Its owner calls `shutdown` when no request is to be sent any more. For one that is let go of without, it is done
/// some time later.
public final class HTTPTransport: APITransport {
    struct Limits: Sendable {
        /// For TCP and the TLS handshake together.
        var connectTime = Duration.seconds(10)
        var credentials = CredentialStore.Limits()
    }

    private let settings: ConnectionSettings
    private let limits: Limits
    private let client: HTTPClient
    private let credentials: CredentialStore
    /// The address as requests are made of it.
    private let baseURL: String

    /// Connects to nobody yet. Throws where TLS cannot be set up with the certificates of the settings.
    public convenience init(_ settings: ConnectionSettings) throws(APITransportError) {
        try self.init(settings, limits: Limits())
    }

    init(_ settings: ConnectionSettings, limits: Limits) throws(APITransportError) {
        self.settings = settings
        self.limits = limits
        credentials = try CredentialStore(settings, limits: limits.credentials)
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: TimeAmount(limits.connectTime)))
        configuration.httpVersion = .http1Only
        // Whoever asks decides when to try again.
        configuration.connectionPool.retryConnectionEstablishment = false
        // Well below the time after which servers close idle connections, which would meet a request on its way.
        configuration.connectionPool.idleTimeout = .seconds(30)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        configuration.http1_1ConnectionDebugInitializer = KeepAlive.apply
        let server = settings.server
        var host = server.host
        if server.usesTLS, let name = settings.tls.serverName, name != host {
            // The client takes the name in the URL for the one in the certificate, and connects to the other.
            configuration.dnsOverride = [name: host]
            host = name
        }
        let authority = ServerAddress.authority(host: host, port: server.port, usesTLS: server.usesTLS)
        baseURL = "\(server.usesTLS ? "https" : "http")://\(authority)\(server.pathPrefix)"
        client = HTTPClient(eventLoopGroup: HTTPClient.defaultEventLoopGroup, configuration: configuration)
    }

    deinit {
        // The client takes it for a programmer's error to go without.
        Task { [credentials, client] in await Self.shutdown(credentials, client) }
    }

    /// Breaks off what is under way, closes all connections and ends a credential plugin that runs.
    public func shutdown() async {
        await Self.shutdown(credentials, client)
    }

    private static func shutdown(_ credentials: CredentialStore, _ client: HTTPClient) async {
        await credentials.close()
        // Fails only if it has been called before.
        try? await client.shutdown()
    }

    public func credentialsWereRefused() async {
        await credentials.wereRefused()
    }

    /// As `APITransport` has it; throws `CancellationError` if the task is cancelled.
    public func get(_ request: APIRequest, _ receive: (APIResponsePart) async throws -> Void) async throws {
        let failure = TransportFailure(settings, path: request.path, connectTime: limits.connectTime)
        let access = try await credentials.access()
        let response = try await failure.naming(.request) {
            try await client.execute(message(request, access), deadline: .distantFuture)
        }
        try await receive(.head(Self.head(response)))
        var pieces = response.body.makeAsyncIterator()
        while let piece = try await failure.naming(.response, { try await pieces.next() }) {
            try await receive(.body(Array(piece.readableBytesView)))
        }
    }

    private func message(_ request: APIRequest, _ access: CredentialStore.Access) -> HTTPClientRequest {
        var message = HTTPClientRequest(url: baseURL + request.target)
        message.method = .GET
        message.headers = [
            "Host": settings.server.authority, "User-Agent": "switchyard", "Accept": request.accept,
        ]
        if let authorization = access.authorization {
            message.headers.add(name: "Authorization", value: authorization.text)
        }
        message.tlsConfiguration = access.tls
        return message
    }

    private static func head(_ response: HTTPClientResponse) -> APIResponseHead {
        let retryAfter = response.headers.first(name: "Retry-After").flatMap { Int($0) }
        return APIResponseHead(
            status: Int(response.status.code),
            contentType: response.headers.first(name: "Content-Type")?.lowercased() ?? "",
            retryAfter: retryAfter.flatMap { $0 < 0 ? nil : $0 })
    }
}

extension APIRequest {
    /// The path and the query as they stand in the first line of a request.
    fileprivate var target: String {
        var target = path.escaped(besides: "/:@!$&'()*+,;=")
        for (index, item) in query.enumerated() {
            target += (index == 0 ? "?" : "&") + item.name.escaped() + "=" + item.value.escaped()
        }
        return target
    }
}

extension String {
    /// Percent-encoded, all but the characters that stand for nothing else anywhere (RFC 3986, `unreserved`).
    fileprivate func escaped(besides others: StaticString = "") -> String {
        var bytes: [UInt8] = []
        let plain = Array("-._~\(others)".utf8)
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 48...57:
                bytes.append(byte)
            case _ where plain.contains(byte): bytes.append(byte)
            default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
