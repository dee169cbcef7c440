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
    @Option(help: ArgumentHelp("Reads every .yaml, .yml and .json file of a folder.", valueName: "folder"))
    var source: String?

    @Option(
        help: ArgumentHelp(
            "Asks the cluster that this file names; without files, folder and this one, the cluster of the pod's "
                + "service account.",
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
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: source) else {
            throw InputError([Diagnostic(.error, at: source, "the folder cannot be read")])
        }
        let manifests = names.filter { name in [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) } }
        guard !manifests.isEmpty else {
            throw InputError([
                Diagnostic(.error, at: source, "no manifests: name files with -f or a folder with --source")
            ])
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
            let (api, diagnostics) = try connect(configuration, nodeName: nodeName)
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
            let (api, diagnostics) = try connect(configuration, nodeName: nodeName)
            for diagnostic in diagnostics { logger.log(diagnostic) }
            return DaemonSource(objects: api, description: "API server \(api.address)", nodeGrace: .seconds(30))
        }

        private func connect(
            _ configuration: ProxyConfiguration, nodeName: String
        ) throws(InputError) -> (api: ClusterAPI, diagnostics: [Diagnostic]) {
            let file = kubeconfig ?? configuration.clientConnection.kubeconfig
            let isInCluster = ProcessInfo.processInfo.environment["KUBERNETES_SERVICE_HOST"] != nil
            guard !file.isEmpty || server != nil || isInCluster else {
                throw InputError([
                    Diagnostic(
                        .error, at: "",
                        "no manifests: name files with -f, a folder with --source or a cluster with --kubeconfig")
                ])
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
            throw InputError([Diagnostic(.error, at: "", Self.missing)])
        }

        private func clusterSource(
            _ configuration: ProxyConfiguration, nodeName: String, logger: Logger
        ) throws(InputError) -> DaemonSource {
            throw InputError([Diagnostic(.error, at: "", Self.missing)])
        }

        private static let missing =
            "no manifests: name files with -f or a folder with --source; this build asks no API server"
    }
#endif
