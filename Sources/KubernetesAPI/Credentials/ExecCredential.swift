import Foundation

/// What an exec plugin gave: a token, a client certificate with its key, or both.
struct ExecCredential: Hashable, Sendable {
    var token: Secret?
    var certificate: ConnectionSettings.ClientCertificate?
    /// Nil if it is good until the server refuses it.
    var expiration: Date?

    /// Why the output of a plugin is no credential, as the end of a sentence that begins with the plugin.
    struct Failure: Error {
        var sentence: String
    }

    /// Reads the output of a plugin: an ExecCredential in JSON, of the version that was asked for.
    init(_ output: [UInt8], version: ExecPlugin.Version) throws(Failure) {
        guard let wire = try? JSONDecoder().decode(Wire.self, from: Data(output)) else {
            throw Failure(sentence: "printed something else than an ExecCredential in JSON")
        }
        guard wire.kind == "ExecCredential", wire.apiVersion == version.rawValue else {
            throw Failure(sentence: "did not print an ExecCredential of \(version.rawValue)")
        }
        guard let status = wire.status else { throw Failure(sentence: "printed an ExecCredential without a status") }
        if let token = status.token, !token.isEmpty {
            guard TokenFile.isToken(token) else {
                throw Failure(sentence: "printed a token that \(TokenFile.notAToken)")
            }
            self.token = Secret(token)
        }
        switch (status.clientCertificateData ?? "", status.clientKeyData ?? "") {
        case ("", ""): break
        case (_, ""), ("", _):
            throw Failure(sentence: "printed only one of clientCertificateData and clientKeyData")
        case (let certificate, let key):
            self.certificate = .init(certificate: .inline(Secret(certificate)), key: .inline(Secret(key)))
        }
        guard token != nil || certificate != nil else {
            throw Failure(sentence: "printed neither a token nor a client certificate")
        }
        if let text = status.expirationTimestamp {
            guard let date = Self.date(text) else {
                throw Failure(
                    sentence: "printed an expirationTimestamp that is not a time such as 2026-01-02T15:04:05Z")
            }
            expiration = date
        }
    }

    func isExpired(at date: Date) -> Bool { expiration.map { $0 <= date } ?? false }

    /// Reads a time as RFC 3339 has it, with or without fractions of a second.
    private static func date(_ text: String) -> Date? {
        if let date = try? Date(text, strategy: .iso8601) { return date }
        return try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    private struct Wire: Decodable {
        struct Status: Decodable {
            var expirationTimestamp: String?
            var token: String?
            var clientCertificateData: String?
            var clientKeyData: String?
        }

        var apiVersion: String?
        var kind: String?
        var status: Status?
    }
}
