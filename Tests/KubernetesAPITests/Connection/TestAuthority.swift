import Foundation
import NIOSSL
import TestSupport

/// Certificates for tests, made once by `openssl` and good for two days.
struct TestAuthority: Sendable {
    /// A certificate and its key, in PEM.
    struct Identity: Sendable {
        var certificate: String
        var key: String

        var nioCertificates: [NIOSSLCertificate] {
            get throws { try NIOSSLCertificate.fromPEMBytes(Array(certificate.utf8)) }
        }
    }

    let authority: Identity
    /// Another one, which signs nothing.
    let otherAuthority: Identity
    /// For 127.0.0.1, localhost and api.test.
    let server: Identity
    /// For elsewhere.test only.
    let elsewhere: Identity
    let clients: [Identity]

    static let shared = Result { try TestAuthority() }

    private init() throws {
        let folder = try TestFolder()
        func make(_ name: String, _ options: [String]) throws -> Identity {
            let (certificate, key) = (folder.path("\(name).crt"), folder.path("\(name).key"))
            try Command.require(
                [
                    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=\(name)", "-keyout", key, "-out", certificate,
                ] + options)
            return Identity(
                certificate: try String(contentsOfFile: certificate, encoding: .utf8),
                key: try String(contentsOfFile: key, encoding: .utf8))
        }
        authority = try make("authority", [])
        otherAuthority = try make("other-authority", [])
        let signed = ["-CA", folder.path("authority.crt"), "-CAkey", folder.path("authority.key")]
        func leaf(_ name: String, _ names: String) throws -> Identity {
            try make(
                name, signed + ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=\(names)"])
        }
        server = try leaf("server", "IP:127.0.0.1,DNS:localhost,DNS:api.test")
        elsewhere = try leaf("elsewhere", "DNS:elsewhere.test")
        clients = [try leaf("client-1", "DNS:client-1"), try leaf("client-2", "DNS:client-2")]
    }
}

/// A folder of a test's own, which goes with the last reference to it.
final class TestFolder: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "connection-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path()
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func path(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file, by putting another in its place, and returns its path.
    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try Data(text.utf8).write(to: URL(filePath: path(name)), options: .atomic)
        return path(name)
    }

    func read(_ name: String) -> String { (try? String(contentsOfFile: path(name), encoding: .utf8)) ?? "" }

    /// Writes a program: a shell script that finds this folder in `$folder`.
    func writeScript(_ text: String, to name: String) throws -> String {
        try Command.writeScript("folder='\(path)'\n\(text)\n", to: path(name))
        return path(name)
    }
}
