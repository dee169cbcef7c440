import EndpointWatcher
import NIOSSL

/// Certificates and keys read from PEM.
enum PEM {
    /// Why there are none, as the end of a sentence that begins with where they were looked for.
    struct Failure: Error {
        var sentence: String
    }

    static func certificates(_ source: PEMSource) throws(Failure) -> [NIOSSLCertificate] {
        let bytes = try bytes(source)
        guard let certificates = try? NIOSSLCertificate.fromPEMBytes(bytes), !certificates.isEmpty else {
            throw Failure(sentence: "holds no certificate in PEM")
        }
        return certificates
    }

    static func key(_ source: PEMSource) throws(Failure) -> NIOSSLPrivateKey {
        let bytes = try bytes(source)
        guard let key = try? NIOSSLPrivateKey(bytes: bytes, format: .pem) else {
            throw Failure(sentence: "holds no private key in PEM that has no passphrase")
        }
        return key
    }

    static func bytes(_ source: PEMSource) throws(Failure) -> [UInt8] {
        switch source {
        case .inline(let secret): return Array(secret.text.utf8)
        case .file(let path):
            do throws(ReadFailure) {
                return try fileBytes(path: path)
            } catch {
                throw Failure(sentence: error.sentence)
            }
        }
    }
}
