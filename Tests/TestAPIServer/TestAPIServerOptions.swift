/// How a server shall behave.
package struct TestAPIServerOptions: Codable, Sendable {
    package enum InitialEvents: Codable, Sendable {
        case supported
        /// The status with which a server without the feature refuses it: 422, or 400.
        case refused(code: Int)
        /// As a server does that does not know the parameter.
        case ignored
    }

    /// The address to listen at; the certificate is valid for it too.
    package var host = "127.0.0.1"
    /// 0 for any free one.
    package var port = 0
    package var isTLS = true
    /// Who may read; nil for everybody.
    package var credentials: Credentials?
    package var initialEvents = InitialEvents.supported
    /// How many changes are kept for watches and lists of older versions.
    package var window = 100_000
    /// The version before the first change.
    package var firstVersion = 1
    package var bookmarkMilliseconds = 60_000
    /// How long a watch lasts that does not say.
    package var watchSeconds = 1800
    /// The minor version that `/version` tells.
    package var minorVersion = 36

    package init() {}
}

/// Who may read.
package struct Credentials: Codable, Sendable {
    /// The names of users by their tokens.
    package var tokens: [String: String] = [:]
    /// Whether the client certificate that the server has made, of the user `proxy`, is accepted.
    package var acceptsClientCertificate = false
    /// Known users who are refused with 403.
    package var usersWithoutRights: Set<String> = []
    /// Whether a request without any credentials is a stranger's (403, as by default on a real server) or refused (401).
    package var allowsAnonymous = true

    package init(
        tokens: [String: String] = [:], acceptsClientCertificate: Bool = false,
        usersWithoutRights: Set<String> = [], allowsAnonymous: Bool = true
    ) {
        self.tokens = tokens
        self.acceptsClientCertificate = acceptsClientCertificate
        self.usersWithoutRights = usersWithoutRights
        self.allowsAnonymous = allowsAnonymous
    }

    static let anonymous = "system:anonymous"

    /// The user of a request. `certificate` says whether the client has shown the certificate that we made; nil if it
    /// has shown none.
    func user(authorization: String?, certificate: Bool?) throws(Refusal) -> String {
        if certificate == true, acceptsClientCertificate { return "proxy" }
        if let authorization {
            let words = authorization.split(separator: " ", maxSplits: 1)
            guard words.count == 2, words[0].lowercased() == "bearer", let user = tokens[String(words[1])] else {
                throw .unauthorized
            }
            return user
        }
        guard certificate == nil, allowsAnonymous else { throw .unauthorized }
        return Self.anonymous
    }

    func mayRead(_ user: String) -> Bool {
        user != Self.anonymous && !usersWithoutRights.contains(user)
    }
}
