import Foundation
import NIOCore
import NIOSSL

/// A folder with what the server and its clients need: certificates of an authority of its own, and a kubeconfig.
final class ServerCertificates: Sendable {
    let folder: String
    /// The certificate that clients may show.
    let client: NIOSSLCertificate
    /// What the server speaks TLS with.
    let context: NIOSSLContext

    /// Makes keys and certificates with the program `openssl`, for loopback, `localhost` and one more address.
    init(folder: String, host: String) throws {
        self.folder = folder
        let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
        func path(_ name: String) -> String { "\(folder)/\(name)" }
        func make(_ name: String, subject: String, _ more: [String]) throws(TestAPIServerError) {
            try ChildProcess.run(
                ["openssl", "req", "-x509"] + newKey + [
                    "-keyout", path("\(name).key"), "-out", path("\(name).crt"), "-subj", subject,
                ] + more)
        }
        let signed = ["-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-addext", "basicConstraints=critical,CA:FALSE"]
        try make("ca", subject: "/CN=test-ca", ["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
        let names = Set(["127.0.0.1", "::1", host]).sorted().map { "IP:\($0)" }.joined(separator: ",")
        try make(
            "server", subject: "/CN=test-api-server",
            signed + ["-addext", "subjectAltName=DNS:localhost,\(names)", "-addext", "extendedKeyUsage=serverAuth"])
        try make("client", subject: "/CN=proxy", signed + ["-addext", "extendedKeyUsage=clientAuth"])

        client = try NIOSSLCertificate.fromPEMFile(path("client.crt"))[0]
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(path("server.crt")).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: path("server.key"), format: .pem)))
        configuration.certificateVerification = .optionalVerification
        configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(path("ca.crt")))
        configuration.applicationProtocols = ["http/1.1"]
        context = try NIOSSLContext(configuration: configuration)
    }

    /// A handler for one connection. Any client certificate passes the handshake; whose it is, the request decides: a
    /// real server answers a stranger's with 401 too.
    func handler() -> NIOSSLServerHandler {
        NIOSSLServerHandler(context: context) { _, promise in promise.succeed(.certificateVerified) }
    }
}
