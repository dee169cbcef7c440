import EndpointWatcher
public import Foundation
public import ProxyCore

extension ConnectionSettings {
    /// Where the kubelet puts the service account of a pod: its files `token` and `ca.crt`.
    public static let serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// Decides how the API server is reached, with what the operator must be told about it.
    ///
    /// 1. A kubeconfig file, where one is named: its current context, or `context`. `server` goes over its address.
    /// 2. Else `server` alone: no credentials, and the authorities that the system trusts.
    /// 3. Else the service account of the pod that this process runs in: KUBERNETES_SERVICE_HOST and
    ///    KUBERNETES_SERVICE_PORT of the environment, and the files of `serviceAccountFolder`.
    ///
    /// Empty texts count as not given. All faults are thrown together. Proxies that the environment names are not used.
    public static func load(
        kubeconfig: String? = nil, server: String? = nil, context: String? = nil,
        environment: [String: String] = ProcessInfo.processInfo.environment,
        serviceAccountFolder: String = Self.serviceAccountFolder
    ) throws(InputError) -> (settings: ConnectionSettings, diagnostics: [Diagnostic]) {
        var address: ServerAddress?
        if let server, !server.isEmpty {
            address = ServerAddress(server)
            if address == nil {
                throw InputError([
                    Diagnostic(
                        .error, at: "",
                        "API server address: \"\(server.printable())\" is not an address such as https://10.0.0.1:6443")
                ])
            }
        }
        let (settings, diagnostics): (ConnectionSettings, [Diagnostic])
        if let kubeconfig, !kubeconfig.isEmpty {
            (settings, diagnostics) = try load(kubeconfig, context: context, server: address)
        } else if let address {
            (settings, diagnostics) = (ConnectionSettings(server: address), [])
        } else {
            settings = try serviceAccount(in: serviceAccountFolder, environment)
            diagnostics = []
        }
        let location = kubeconfig ?? ""
        return (settings, diagnostics + settings.warnings.map { Diagnostic(.warning, at: location, $0) })
    }

    private static func load(
        _ path: String, context: String?, server: ServerAddress?
    ) throws(InputError) -> (ConnectionSettings, [Diagnostic]) {
        let file = try ObjectFile<Kubeconfig>(path: path)
        let current = FileManager.default.currentDirectoryPath
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? current
        var resolver = KubeconfigResolver(
            file.object, folder: path.hasPrefix("/") || !path.contains("/") ? folder : "\(current)/\(folder)")
        let settings = resolver.settings(context: context, server: server)
        let diagnostics = resolver.faults.map(file.diagnostic)
        guard let settings, !diagnostics.contains(where: { $0.severity == .error }) else {
            throw InputError(diagnostics)
        }
        return (settings, diagnostics)
    }

    private static func serviceAccount(
        in folder: String, _ environment: [String: String]
    ) throws(InputError) -> ConnectionSettings {
        let host = environment["KUBERNETES_SERVICE_HOST"] ?? ""
        let port = environment["KUBERNETES_SERVICE_PORT"] ?? ""
        guard !host.isEmpty, !port.isEmpty else {
            throw InputError([
                Diagnostic(
                    .error, at: "",
                    "no API server: neither a kubeconfig file nor an address is given, and KUBERNETES_SERVICE_HOST and "
                        + "KUBERNETES_SERVICE_PORT, which are set in a pod, are not")
            ])
        }
        var diagnostics: [Diagnostic] = []
        func refuse(_ location: String, _ sentence: String) {
            diagnostics.append(Diagnostic(.error, at: location, sentence))
        }
        if IPAddress(host) == nil, !ServerAddress.isHostName(host) {
            refuse("", "KUBERNETES_SERVICE_HOST: \"\(host.printable())\" is not the name or the address of a host")
        }
        let number = ServerAddress.port(port)
        if number == nil { refuse("", "KUBERNETES_SERVICE_PORT: \"\(port.printable())\" is not a port") }
        let token = folder + "/token"
        let authority = PEMSource.file(folder + "/ca.crt")
        do throws(TokenFile.Failure) { _ = try TokenFile.read(token) } catch { refuse(token, error.sentence) }
        do throws(PEM.Failure) {
            _ = try PEM.certificates(authority)
        } catch {
            refuse(folder + "/ca.crt", error.sentence)
        }
        guard let number, diagnostics.isEmpty else { throw InputError(diagnostics) }
        return ConnectionSettings(
            server: ServerAddress(usesTLS: true, host: host, port: number), tls: TLS(authority: authority),
            authorization: .tokenFile(token))
    }

    /// What is dangerous about settings that are otherwise in order.
    private var warnings: [String] {
        guard !server.usesTLS, !server.isLoopback, authorization != .none else { return [] }
        return ["server \(server): the credentials are sent without TLS, so that they can be read on the way"]
    }
}
