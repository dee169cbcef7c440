public import Foundation
public import Testing

/// A cluster with the files that are expected for it.
///
/// The clusters are those of `golden/`, and every folder below `SWITCHYARD_ORACLE` if that is set.
public struct GoldenCase: Sendable, CustomTestStringConvertible {
    public let directory: URL

    public var testDescription: String { directory.lastPathComponent }
    public var cluster: String { directory.appending(path: "cluster.yaml").path }
    public var configuration: String { directory.appending(path: "config.yaml").path }

    public func path(_ name: String) -> String { directory.appending(path: name).path }

    /// The bytes of an expected file; nil if there is none.
    public func expected(_ name: String) -> [UInt8]? {
        (try? Data(contentsOf: directory.appending(path: name))).map(Array.init)
    }

    /// `golden/` of this checkout.
    public static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "golden")

    /// Every cluster, in the order of paths.
    public static let all: [GoldenCase] = {
        var roots = [root]
        if let oracle = ProcessInfo.processInfo.environment["SWITCHYARD_ORACLE"], !oracle.isEmpty {
            roots.append(URL(filePath: oracle))
        }
        return roots.flatMap(clusters)
    }()

    private static func clusters(below root: URL) -> [GoldenCase] {
        let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)
        let clusters = files?.compactMap { $0 as? URL }.filter { $0.lastPathComponent == "cluster.yaml" } ?? []
        return clusters.map { GoldenCase(directory: $0.deletingLastPathComponent()) }.sorted {
            $0.directory.path < $1.directory.path
        }
    }
}
