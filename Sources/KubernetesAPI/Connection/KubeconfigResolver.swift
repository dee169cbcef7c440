import EndpointWatcher
import Foundation
import ProxyCore

/// Makes settings of one context of a kubeconfig, and keeps every fault on the way.
///
/// Faults in entries that the context does not name are nobody's concern: a file may hold many clusters.
struct KubeconfigResolver {
    private let file: Kubeconfig
    /// Relative paths start here.
    private let folder: String
    private(set) var faults: [InputFault] = []
    /// The entries in use, by their list.
    private var chosen: [String: Int] = [:]

    init(_ file: Kubeconfig, folder: String) {
        self.file = file
        self.folder = folder
    }

    /// The settings of a context, or of the current one; `server` goes over the cluster's. Nil only with an error among
    /// the faults.
    mutating func settings(context name: String?, server: ServerAddress?) -> ConnectionSettings? {
        let settings = resolve(context: name, server: server)
        let unread = file.faults.filter { isInUse($0.path) }
        let paths = Set(unread.map(\.path))
        faults = unread + faults.filter { !paths.contains($0.path) }
        return settings
    }

    private mutating func resolve(context name: String?, server: ServerAddress?) -> ConnectionSettings? {
        guard let chosenName = name ?? file.currentContext, !chosenName.isEmpty else {
            report(["current-context"], "is missing; it must name one of the contexts", value: .none)
            return nil
        }
        // A context that the file does not name itself has no place in it.
        let origin: [InputFault.PathStep] = name == nil ? ["current-context"] : []
        guard let context = entry(file.contexts, "contexts", "context", named: chosenName, from: origin) else {
            return nil
        }
        let path: [InputFault.PathStep] = ["contexts", .index(context.index), "context"]
        guard let clusterName = context.value.cluster else {
            report(path + ["cluster"], "is missing", value: .none)
            return nil
        }
        let cluster = entry(file.clusters, "clusters", "cluster", named: clusterName, from: path + ["cluster"])
        // Without a user the server is asked anonymously.
        let user = context.value.user.flatMap {
            entry(file.users, "users", "user", named: $0, from: path + ["user"])
        }
        guard let cluster, var settings = connection(cluster, server: server) else {
            // For its faults.
            if let user { _ = authorization(user, cluster: nil) }
            return nil
        }
        if let user {
            let info = ExecPlugin.ClusterInfo(
                server: settings.server.description, serverName: settings.tls.serverName,
                isVerified: settings.tls.isVerified, authority: settings.tls.authority)
            settings.authorization = authorization(user, cluster: info)
            settings.clientCertificate = clientCertificate(user)
        }
        return settings
    }

    private mutating func entry<Value>(
        _ entries: [Kubeconfig.Entry<Value>], _ list: String, _ field: String, named name: String,
        from path: [InputFault.PathStep]
    ) -> (index: Int, value: Value)? {
        let found = entries.filter { $0.name == name }
        guard let entry = found.first else {
            let names = entries.compactMap(\.name).map { $0.printable() }.joined(separator: ", ")
            let end = names.isEmpty ? "; there are none" : " (\(names))"
            path.isEmpty
                ? report(path, "\"\(name.printable())\" is none of the \(list)\(end)", value: .none)
                : report(path, "names none of the \(list)\(end)")
            return nil
        }
        if found.count > 1 { report([.key(list), .index(found[1].index), "name"], "is there twice") }
        chosen[list] = entry.index
        guard let value = entry.value else {
            report([.key(list), .index(entry.index), .key(field)], "is missing", value: .none)
            return nil
        }
        return (entry.index, value)
    }

    private mutating func connection(
        _ entry: (index: Int, value: Kubeconfig.Cluster), server: ServerAddress?
    ) -> ConnectionSettings? {
        let path: [InputFault.PathStep] = ["clusters", .index(entry.index), "cluster"]
        let cluster = entry.value
        if cluster.proxyURL != nil { report(path + ["proxy-url"], "asks for a proxy, which is not supported") }
        if let name = cluster.serverName, IPAddress(name) != nil || !ServerAddress.isHostName(name) {
            report(path + ["tls-server-name"], "is not the name of a host")
        }
        var tls = ConnectionSettings.TLS(serverName: cluster.serverName, isVerified: !cluster.skipsVerification)
        tls.authority = pem(
            cluster.authorityFile, cluster.authorityData, path, "certificate-authority", PEM.certificates)
        if cluster.skipsVerification, cluster.authorityFile != nil || cluster.authorityData != nil {
            report(
                path + ["insecure-skip-tls-verify"], "goes against the certificate authority that is given beside it")
        }
        guard let address = server ?? cluster.server.flatMap(ServerAddress.init) else {
            if cluster.server == nil {
                report(path + ["server"], "is missing", value: .none)
            } else {
                report(path + ["server"], "is not an address such as https://10.0.0.1:6443")
            }
            return nil
        }
        if address.usesTLS, cluster.skipsVerification {
            report(
                path + ["insecure-skip-tls-verify"],
                "lets whoever answers at \(address) pass for the API server", severity: .warning)
        }
        return ConnectionSettings(server: address, tls: tls)
    }
}

// MARK: - Users

extension KubeconfigResolver {
    private mutating func authorization(
        _ entry: (index: Int, value: Kubeconfig.User), cluster: ExecPlugin.ClusterInfo?
    ) -> ConnectionSettings.Authorization {
        let path: [InputFault.PathStep] = ["users", .index(entry.index), "user"]
        let user = entry.value
        for field in user.refused {
            report(path + [.key(field)], "is not supported", value: .none)
        }
        let hasToken = user.token != nil || user.tokenFile != nil
        if hasToken, user.userName != nil {
            report(path + ["username"], "stands beside a token; only one of them can be used")
        }
        let program = user.exec.flatMap { plugin($0, path + ["exec"], cluster: cluster) }
        if user.exec != nil, hasToken || user.userName != nil {
            report(
                path + ["exec"], "is not run, as the user has a token or a password", value: .none, severity: .warning)
        }
        if let file = user.tokenFile {
            let location = absolute(file)
            do throws(TokenFile.Failure) {
                _ = try TokenFile.read(location)
            } catch {
                report(path + ["tokenFile"], error.sentence + resolved(file))
            }
            return .tokenFile(location)
        }
        if let token = user.token {
            if !TokenFile.isToken(token) { report(path + ["token"], TokenFile.notAToken, value: .none) }
            return .token(Secret(token))
        }
        if let name = user.userName { return .basic(user: name, password: Secret(user.password ?? "")) }
        return program.map { .plugin($0) } ?? .none
    }

    private mutating func plugin(
        _ exec: Kubeconfig.Exec, _ path: [InputFault.PathStep], cluster: ExecPlugin.ClusterInfo?
    ) -> ExecPlugin? {
        let versions = ExecPlugin.Version.allCases.map(\.rawValue).joined(separator: " or ")
        let version = exec.apiVersion.flatMap(ExecPlugin.Version.init)
        if version == nil {
            exec.apiVersion == nil
                ? report(path + ["apiVersion"], "is missing; it must be \(versions)", value: .none)
                : report(path + ["apiVersion"], "is not \(versions)")
        }
        switch exec.interactiveMode {
        case "Never", "IfAvailable": break
        case "Always":
            report(path + ["interactiveMode"], "asks for a terminal, which a daemon does not have")
        case .some: report(path + ["interactiveMode"], "is not Never, IfAvailable or Always")
        case nil:
            if version == .v1 {
                report(path + ["interactiveMode"], "is missing; it must be Never, IfAvailable or Always", value: .none)
            }
        }
        var variables: [ExecPlugin.Variable] = []
        for (index, variable) in exec.environment.enumerated() {
            guard let name = variable.name, !name.contains("="), !name.contains("\0") else {
                report(path + ["env", .index(index), "name"], "is missing or not the name of a variable", value: .none)
                continue
            }
            variables.append(.init(name: name, value: Secret(variable.value ?? "")))
        }
        guard let command = exec.command else {
            report(path + ["command"], "is missing", value: .none)
            return nil
        }
        return version.map {
            ExecPlugin(
                command: command.contains("/") ? absolute(command) : command, arguments: exec.arguments,
                environment: variables, version: $0, cluster: exec.providesClusterInfo ? cluster : nil)
        }
    }

    private mutating func clientCertificate(
        _ entry: (index: Int, value: Kubeconfig.User)
    ) -> ConnectionSettings.ClientCertificate? {
        let path: [InputFault.PathStep] = ["users", .index(entry.index), "user"]
        let user = entry.value
        let certificate = pem(
            user.certificateFile, user.certificateData, path, "client-certificate", PEM.certificates)
        let key = pem(user.keyFile, user.keyData, path, "client-key", PEM.key)
        switch (certificate, key) {
        case (let certificate?, let key?): return .init(certificate: certificate, key: key)
        case (nil, nil): break
        case (_?, nil): report(path + ["client-key"], "is missing beside the client certificate", value: .none)
        case (nil, _?): report(path + ["client-certificate"], "is missing beside the client key", value: .none)
        }
        return nil
    }
}

// MARK: - Fields

extension KubeconfigResolver {
    /// A field that names a file, or its twin `…-data` that holds the content in base64; both are looked into.
    private mutating func pem<Content>(
        _ file: String?, _ data: String?, _ path: [InputFault.PathStep], _ field: String,
        _ parse: (PEMSource) throws(PEM.Failure) -> Content
    ) -> PEMSource? {
        let source: PEMSource
        let place: [InputFault.PathStep]
        let end: String
        if let data {
            place = path + [.key("\(field)-data")]
            if file != nil { report(path + [.key(field)], "stands beside \(field)-data; only one of them can be used") }
            let base64 = data.filter { !$0.isWhitespace }
            // The content may be a key: it is named without being shown.
            guard let bytes = Data(base64Encoded: base64) else {
                report(place, "is not base64", value: .none)
                return .inline(Secret(""))
            }
            source = .inline(Secret(String(decoding: bytes, as: UTF8.self)))
            end = ""
        } else if let file {
            place = path + [.key(field)]
            source = .file(absolute(file))
            end = resolved(file)
        } else {
            return nil
        }
        do throws(PEM.Failure) {
            _ = try parse(source)
        } catch {
            report(place, error.sentence + end, value: data == nil ? .asWritten : .none)
        }
        return source
    }

    private func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : "\(folder)/\(path)" }

    /// Where a relative path was looked for.
    private func resolved(_ path: String) -> String { path.hasPrefix("/") ? "" : " (\(absolute(path)))" }

    private func isInUse(_ path: [InputFault.PathStep]) -> Bool {
        guard path.count > 2, case .key(let list) = path[0], case .index(let index) = path[1] else { return true }
        return chosen[list] == index
    }

    private mutating func report(
        _ path: [InputFault.PathStep], _ sentence: String, value: InputFault.Value = .asWritten,
        severity: Diagnostic.Severity = .error
    ) {
        faults.append(InputFault(severity, path, sentence, value: value))
    }
}
