/// How to reach one API server: everything that a kubeconfig, a service account or an option says about it.
///
/// Decided once, by `load` in `ConnectionSettings+Loading.swift`.
public struct ConnectionSettings: Hashable, Sendable {
    public var server: ServerAddress
    public var tls: TLS
    public var authorization: Authorization
    /// Shown to a server that asks for one.
    public var clientCertificate: ClientCertificate?

    public struct TLS: Hashable, Sendable {
        /// Certificates in PEM that the server's must come from; nil means those that the system trusts.
        public var authority: PEMSource?
        /// The name that the server's certificate must have, if it is not the server's host.
        public var serverName: String?
        /// False if whoever answers is believed to be the server.
        public var isVerified: Bool

        public init(authority: PEMSource? = nil, serverName: String? = nil, isVerified: Bool = true) {
            self.authority = authority
            self.serverName = serverName
            self.isVerified = isVerified
        }
    }

    /// What says who asks, apart from a client certificate.
    public enum Authorization: Hashable, Sendable {
        case none
        case token(Secret)
        /// The path of a file that holds a token and is replaced as tokens expire.
        case tokenFile(String)
        case basic(user: String, password: Secret)
        case plugin(ExecPlugin)
    }

    public struct ClientCertificate: Hashable, Sendable {
        /// The certificate, followed by those between it and the authority.
        public var certificate: PEMSource
        public var key: PEMSource

        public init(certificate: PEMSource, key: PEMSource) {
            self.certificate = certificate
            self.key = key
        }
    }

    public init(
        server: ServerAddress, tls: TLS = TLS(), authorization: Authorization = .none,
        clientCertificate: ClientCertificate? = nil
    ) {
        self.server = server
        self.tls = tls
        self.authorization = authorization
        self.clientCertificate = clientCertificate
    }
}

/// A text in PEM, or the file that holds it.
public enum PEMSource: Hashable, Sendable {
    case file(String)
    case inline(Secret)
}

/// A text that no message may show: a token, a password, a key.
public struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public let text: String

    public init(_ text: String) {
        self.text = text
    }

    public var description: String { "(hidden)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
