import EndpointWatcher
import Glibc
import NIOSSL

/// Makes the TLS configuration of new connections, and makes it anew when one of its files has changed.
struct TLSSource {
    private let settings: ConnectionSettings.TLS
    private var last: (certificate: ConnectionSettings.ClientCertificate?, stamps: [FileStamp?], TLSConfiguration)?

    init(_ settings: ConnectionSettings.TLS) {
        self.settings = settings
    }

    /// The configuration that shows this certificate. A file that cannot be read any more, or a key that does not go
    /// with its certificate, leaves the earlier configuration in use: files are seldom replaced at the same instant.
    mutating func configuration(
        showing certificate: ConnectionSettings.ClientCertificate?
    ) throws(APITransportError) -> TLSConfiguration {
        let sources = [settings.authority, certificate?.certificate, certificate?.key]
        // Before the files are read: a change meanwhile is found the next time.
        let stamps = sources.map(FileStamp.init)
        if let last, last.certificate == certificate, last.stamps == stamps { return last.2 }
        do throws(APITransportError) {
            let configuration = try make(showing: certificate)
            last = (certificate, stamps, configuration)
            return configuration
        } catch {
            if let last, last.certificate == certificate { return last.2 }
            throw error
        }
    }

    private func make(
        showing certificate: ConnectionSettings.ClientCertificate?
    ) throws(APITransportError) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if !settings.isVerified { configuration.certificateVerification = .none }
        if let authority = settings.authority {
            let certificates = try read(authority, "certificate authority", PEM.certificates)
            configuration.trustRoots = .certificates(certificates)
        }
        if let certificate {
            let chain = try read(certificate.certificate, "client certificate", PEM.certificates)
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(try read(certificate.key, "client key", PEM.key))
        }
        // Only a context finds out whether key and certificate belong together.
        guard (try? NIOSSLContext(configuration: configuration)) != nil else {
            throw APITransportError(
                certificate.map { "\($0.certificate.label("client certificate")) and its key do not belong together" }
                    ?? "TLS cannot be set up with \(settings.authority?.label("certificate authority") ?? "the system")"
            )
        }
        return configuration
    }

    private func read<Content>(
        _ source: PEMSource, _ what: String, _ parse: (PEMSource) throws(PEM.Failure) -> Content
    ) throws(APITransportError) -> Content {
        do throws(PEM.Failure) {
            return try parse(source)
        } catch {
            throw APITransportError("\(source.label(what)) \(error.sentence)")
        }
    }
}

extension PEMSource {
    /// `client key /etc/key.pem`; what is not in a file has no name.
    func label(_ what: String) -> String {
        switch self {
        case .file(let path): "\(what) \(path)"
        case .inline: what
        }
    }
}

/// What changes when a file is replaced or written.
private struct FileStamp: Equatable {
    var device: UInt
    var inode: UInt
    var size: Int
    var seconds: Int
    var nanoseconds: Int

    /// Nil for what is not a file, or cannot be looked at.
    init?(_ source: PEMSource?) {
        guard case .file(let path) = source else { return nil }
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        device = UInt(status.st_dev)
        inode = UInt(status.st_ino)
        size = Int(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}
