public import EndpointWatcher
public import ProxyCore

/// The API server of a cluster, as a source of objects: what a daemon follows and what an offline command asks once.
public struct ClusterAPI: ObjectSource {
    /// Where the server is, such as `https://10.0.0.1:6443`.
    public let address: String
    private let transport: HTTPTransport
    private let source: APISource

    /// Decides how the server is reached, as `ConnectionSettings.load` says. Nothing is asked of it yet.
    ///
    /// - Parameter contentType: the media type that is preferred; JSON alone is asked for where it is JSON.
    public static func connect(
        kubeconfig: String?, server: String?, nodeName: String, contentType: String
    ) throws(InputError) -> (api: ClusterAPI, diagnostics: [Diagnostic]) {
        let (settings, diagnostics) = try ConnectionSettings.load(kubeconfig: kubeconfig, server: server)
        do throws(APITransportError) {
            let transport = try HTTPTransport(settings)
            let api = ClusterAPI(settings, transport, nodeName: nodeName, wantsJSON: contentType.contains("json"))
            return (api, diagnostics)
        } catch {
            throw InputError(diagnostics + [Diagnostic(.error, at: kubeconfig ?? "", error.description)])
        }
    }

    private init(_ settings: ConnectionSettings, _ transport: HTTPTransport, nodeName: String, wantsJSON: Bool) {
        address = "\(settings.server)"
        self.transport = transport
        source = APISource(
            transport: transport, node: nodeName, protobuf: wantsJSON ? nil : ProtobufWireDecoder())
    }

    public func run(_ deliver: @escaping @Sendable (SourceUpdate) async -> Void) async throws {
        let result: Result<Void, any Error>
        do {
            result = .success(try await source.run(deliver))
        } catch {
            result = .failure(error)
        }
        await transport.shutdown()
        try result.get()
    }

    /// Everything that the cluster has now. To be called once, and not beside `run`.
    public func snapshot() async throws -> Manifests {
        let result: Result<Manifests, any Error>
        do {
            result = .success(try await source.snapshot())
        } catch {
            result = .failure(error)
        }
        await transport.shutdown()
        return try result.get()
    }
}
