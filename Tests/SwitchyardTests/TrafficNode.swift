import Foundation
import TestSupport

/// A lab with the hosts of `TrafficCluster`, and what `switchyard apply` makes of its node.
final class TrafficNode: Sendable {
    let lab: TrafficLab
    private let variant: TrafficLabs.Variant
    private let folder: URL

    /// To be closed once.
    init(_ variant: TrafficLabs.Variant) throws {
        self.variant = variant
        folder = Command.temporaryDirectory.appending(path: "traffic-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        do {
            lab = try TrafficLab(node: TrafficCluster.node, hosts: TrafficCluster.hosts)
        } catch {
            try? FileManager.default.removeItem(at: folder)
            throw error
        }
    }

    func close() {
        lab.close()
        try? FileManager.default.removeItem(at: folder)
    }

    var namespace: Namespace { lab.namespace(of: "node") }

    /// Commits services, all those that are not named being gone.
    ///
    /// - Parameter scheduler: of ipvs mode.
    func apply(
        _ services: [TrafficCluster.Service] = TrafficCluster.services, scheduler: String = ""
    ) throws -> Command.Result {
        let files = [
            "cluster.yaml": TrafficCluster.manifests(services),
            "config.yaml": TrafficCluster.configuration(scheduler: scheduler),
        ]
        for (name, text) in files { try Data(text.utf8).write(to: folder.appending(path: name)) }
        return try namespace.run(
            [BuiltProducts.switchyard, "apply", "-f", folder.appending(path: "cluster.yaml").path]
                + ["--config", folder.appending(path: "config.yaml").path, "--family", "both"] + variant.options)
    }

    /// Commits services without any fault.
    func require(_ services: [TrafficCluster.Service] = TrafficCluster.services, scheduler: String = "") throws {
        let result = try apply(services, scheduler: scheduler)
        guard result.status == 0 else {
            throw Failure(description: "apply ended with \(result.status): \(result.errors)")
        }
    }

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }
}
