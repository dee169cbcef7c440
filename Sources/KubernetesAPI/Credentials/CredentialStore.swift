import EndpointWatcher
import Foundation
import NIOSSL

/// Holds the credentials for one API server, and gets newer ones as they change, expire or are refused.
actor CredentialStore {
    /// How often credentials are looked for anew.
    struct Limits: Sendable {
        /// A token file is read again when what was read is older.
        var tokenAge = Duration.seconds(10)
        /// A plugin is run at most twice within this time, whatever becomes of what it prints.
        var runInterval = Duration.seconds(10)
        /// A plugin that takes longer is ended.
        var runTime = Duration.seconds(60)
    }

    /// What goes with one request.
    struct Access: Sendable {
        /// The value of the header `Authorization`.
        var authorization: Secret?
        /// Nil for a server without TLS.
        var tls: TLSConfiguration?
    }

    private typealias PluginResult = Result<ExecCredential, APITransportError>

    private let settings: ConnectionSettings
    private let limits: Limits
    private var tls: TLSSource
    private var token: (value: Secret, read: ContinuousClock.Instant)?
    private var credential: ExecCredential?
    private var wasRefused = false
    private var lastFailure: APITransportError?
    /// When the plugin was last started, at most twice.
    private var runs: [ContinuousClock.Instant] = []
    private var running: Task<Void, Never>?
    private var waiters: [Int: AsyncStream<PluginResult>.Continuation] = [:]
    private var lastWaiter = 0
    private var isClosed = false

    /// Throws where TLS cannot be set up with the certificates of the settings.
    init(_ settings: ConnectionSettings, limits: Limits = Limits()) throws(APITransportError) {
        self.settings = settings
        self.limits = limits
        var tls = TLSSource(settings.tls)
        if settings.server.usesTLS { _ = try tls.configuration(showing: settings.clientCertificate) }
        self.tls = tls
    }

    /// Credentials for a request that is about to be sent. Throws `APITransportError`, or `CancellationError`.
    func access() async throws -> Access {
        var certificate = settings.clientCertificate
        var authorization: Secret?
        switch settings.authorization {
        case .none: break
        case .token(let token): authorization = Secret("Bearer \(token.text)")
        case .tokenFile(let path): authorization = Secret("Bearer \(try token(in: path).text)")
        case .basic(let user, let password):
            let pair = Data("\(user):\(password.text)".utf8).base64EncodedString()
            authorization = Secret("Basic \(pair)")
        case .plugin(let plugin):
            let credential = try await credential(of: plugin)
            authorization = credential.token.map { Secret("Bearer \($0.text)") }
            certificate = credential.certificate ?? certificate
        }
        guard settings.server.usesTLS else { return Access(authorization: authorization) }
        return Access(authorization: authorization, tls: try tls.configuration(showing: certificate))
    }

    /// The server has answered 401: what was read or printed before is not used again if there is something newer.
    func wereRefused() {
        token = nil
        wasRefused = true
    }

    /// Ends a plugin that runs and waits until it is gone; there are no credentials afterwards.
    func close() async {
        isClosed = true
        running?.cancel()
        await running?.value
    }

    private func token(in path: String) throws(APITransportError) -> Secret {
        let now = ContinuousClock.now
        if let token, now - token.read < limits.tokenAge { return token.value }
        do throws(TokenFile.Failure) {
            let value = try TokenFile.read(path)
            token = (value, now)
            return value
        } catch {
            // Tokens outlive the times between two readings by far.
            if let token { return token.value }
            throw APITransportError("token file \(path): \(error.sentence)")
        }
    }
}

// MARK: - The plugin

extension CredentialStore {
    /// The credential that the plugin gave last, or a new one if that has expired or was refused.
    private func credential(of plugin: ExecPlugin) async throws -> ExecCredential {
        if let credential, !wasRefused, !credential.isExpired(at: Date()) { return credential }
        guard !isClosed else { throw APITransportError("the connection to \(settings.server) has been shut down") }
        if running == nil {
            let now = ContinuousClock.now
            runs.removeAll { now - $0 >= limits.runInterval }
            guard runs.count < 2 else {
                if let lastFailure { throw lastFailure }
                if let credential { return credential }
                throw APITransportError("credential plugin \(plugin.command): is run too often")
            }
            start(plugin)
        }
        let (results, continuation) = AsyncStream.makeStream(of: PluginResult.self)
        lastWaiter += 1
        let number = lastWaiter
        waiters[number] = continuation
        for await result in results { return try result.get() }
        // This task was cancelled. The run goes on as long as anybody waits for it.
        waiters[number] = nil
        if waiters.isEmpty { running?.cancel() }
        throw CancellationError()
    }

    private func start(_ plugin: ExecPlugin) {
        runs.append(.now)
        let timeLimit = limits.runTime
        // Not a child of the request that is first to need it: others wait for the same run.
        running = Task {
            let result: PluginResult
            do throws(APITransportError) {
                result = .success(try await plugin.run(timeLimit: timeLimit))
            } catch {
                result = .failure(error)
            }
            finish(plugin, result, wasCancelled: Task.isCancelled)
        }
    }

    private func finish(_ plugin: ExecPlugin, _ result: PluginResult, wasCancelled: Bool) {
        running = nil
        if wasCancelled, !isClosed {
            // Whoever came after the run was given up waits for another.
            _ = runs.popLast()
            if !waiters.isEmpty { start(plugin) }
            return
        }
        switch result {
        case .success(let credential):
            self.credential = credential
            wasRefused = false
            lastFailure = nil
        case .failure(let failure): lastFailure = failure
        }
        for continuation in waiters.values {
            continuation.yield(result)
            continuation.finish()
        }
        waiters = [:]
    }
}
