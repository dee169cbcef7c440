import ArgumentParser
import EndpointWatcher
import Foundation
import Logging
import ProxyCore
import SyncLoop

#if Cluster
    import KubernetesAPI
#endif

/// Where the objects come from, apart from single files.
struct SourceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The .yaml, .yml and .json files of a folder, which the daemon follows.", valueName: "folder"))
    var source: String?

    @Option(
        help: ArgumentHelp(
            "The cluster that this file names; where no source is named at all, the configuration's, else that of the "
                + "pod's service account.",
            valueName: "file"))
    var kubeconfig: String?

    @Option(
        help: ArgumentHelp(
            "The API server, over the one in the kubeconfig, such as https://10.0.0.1:6443.", valueName: "address"))
    var server: String?

    var isGiven: Bool { source != nil || kubeconfig != nil || server != nil }
}

extension SourceOptions {
    /// The manifests of the folder, in the order of their names; none without a folder.
    func manifestPaths() throws(InputError) -> [String] {
        guard let source else { return [] }
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: source)
        } catch {
            throw InputError("the folder cannot be opened: \(error.systemReason)", at: source)
        }
        let manifests = names.filter { name in [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) } }
        guard !manifests.isEmpty else {
            throw InputError("the folder has no file that ends in .yaml, .yml or .json", at: source)
        }
        return manifests.sorted().map { "\(source)/\($0)" }
    }
}

/// A source that the daemon follows.
struct DaemonSource {
    var objects: any ObjectSource
    /// Names it to an operator.
    var description: String
    /// How long a Node object may take to appear. A folder is read at once.
    var nodeGrace: Duration
}

extension SourceOptions {
    /// What the daemon follows.
    func makeSource(
        _ configuration: ProxyConfiguration, nodeName: String, logger: Logger
    ) throws(InputError) -> DaemonSource {
        if let source {
            return DaemonSource(
                objects: FolderSource(path: source), description: "manifests in \(source)", nodeGrace: .zero)
        }
        return try clusterSource(configuration, nodeName: nodeName, logger: logger)
    }
}

#if Cluster
    extension SourceOptions {
        /// Everything that the cluster has now.
        func snapshot(
            _ configuration: ProxyConfiguration, nodeName: String, isStrict: Bool
        ) async throws(InputError) -> Manifests {
            let (api, diagnostics) = try connect(configuration, nodeName: nodeName, takesFiles: true)
            do {
                var objects = try await api.snapshot()
                objects.diagnostics = diagnostics + objects.diagnostics
                guard isStrict, objects.diagnostics.contains(where: { $0.severity > .note }) else { return objects }
                throw InputError(objects.diagnostics)
            } catch let error as InputError {
                throw error
            } catch {
                throw InputError(diagnostics + [Diagnostic(.error, at: "", "\(error)")])
            }
        }

        private func clusterSource(
            _ configuration: ProxyConfiguration, nodeName: String, logger: Logger
        ) throws(InputError) -> DaemonSource {
            let (api, diagnostics) = try connect(configuration, nodeName: nodeName, takesFiles: false)
            for diagnostic in diagnostics { logger.log(diagnostic) }
            return DaemonSource(objects: api, description: "API server \(api.address)", nodeGrace: .seconds(30))
        }

        /// - Parameter takesFiles: true for a command that reads single files too.
        private func connect(
            _ configuration: ProxyConfiguration, nodeName: String, takesFiles: Bool
        ) throws(InputError) -> (api: ClusterAPI, diagnostics: [Diagnostic]) {
            let file = kubeconfig ?? configuration.clientConnection.kubeconfig
            let isInCluster = ProcessInfo.processInfo.environment["KUBERNETES_SERVICE_HOST"] != nil
            guard !file.isEmpty || server != nil || isInCluster else {
                throw InputError(
                    "no source of objects: name \(takesFiles ? "files with -f, " : "")a folder with --source, "
                        + "a cluster with --kubeconfig or an API server with --server")
            }
            return try ClusterAPI.connect(
                kubeconfig: file.isEmpty ? nil : file, server: server, nodeName: nodeName,
                contentType: configuration.clientConnection.contentType)
        }
    }
#else
    extension SourceOptions {
        func snapshot(
            _ configuration: ProxyConfiguration, nodeName: String, isStrict: Bool
        ) async throws(InputError) -> Manifests {
            throw missing("files with -f or a folder with --source")
        }

        private func clusterSource(
            _ configuration: ProxyConfiguration, nodeName: String, logger: Logger
        ) throws(InputError) -> DaemonSource {
            throw missing("a folder with --source")
        }

        private func missing(_ sources: String) -> InputError {
            InputError("no source of objects: name \(sources); this build asks no API server")
        }
    }
#endif
