import Foundation
import ProxyCore

@testable import EndpointWatcher

/// A folder that a test fills, and a reader of it whose time only the test moves.
final class ManifestFolder {
    let path = FileManager.default.temporaryDirectory.appending(path: "folder-\(UUID().uuidString)").path()
    private(set) lazy var reader = FolderReader(path: path)
    private var now = ContinuousClock.now

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes in place.
    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
    }

    /// Writes a file that then takes the place of another, as editors do.
    func replace(_ name: String, with text: String) throws {
        try write(text, to: ".\(name).new")
        guard rename("\(path)/.\(name).new", "\(path)/\(name)") == 0 else { throw CocoaError(.fileWriteUnknown) }
    }

    func link(_ name: String, to target: String) throws {
        guard symlink(target, "\(path)/\(name)") == 0 else { throw CocoaError(.fileWriteUnknown) }
    }

    func remove(_ name: String) throws {
        try FileManager.default.removeItem(atPath: "\(path)/\(name)")
    }

    /// Looks once, some milliseconds after the last time.
    func look(after milliseconds: Int = 200) throws -> FolderReader.Look {
        now += .milliseconds(milliseconds)
        return try reader.look(at: now)
    }

    /// Looks until nothing moves, and returns what was said in words.
    func settle() throws -> [String] {
        var said: [String] = []
        for _ in 0..<10 {
            let look = try look()
            said += look.updates.flatMap { words($0) }
            if !look.isChanging { break }
        }
        return said
    }

    private func words(_ update: SourceUpdate) -> [String] {
        switch update {
        case .changes(let changes, _):
            changes.map { change in
                if case .service(let service) = change {
                    return "\(service.name.name) \(service.ports.map { String($0.number) }.joined(separator: " "))"
                }
                let identity = change.key
                return change == identity.deletion ? "no \(identity)" : "\(identity)"
            }
        case .complete(let kind): ["complete \(kind)"]
        case .diagnostic(let diagnostic):
            [diagnostic.description.replacingOccurrences(of: path, with: "folder")]
        case .interrupted(let kind, let reason):
            ["\(kind) interrupted: \(reason.replacingOccurrences(of: path, with: "folder"))"]
        }
    }
}

/// A Service with one port.
func manifest(_ name: String, port: Int) -> String {
    """
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: \(name)}
    spec:
      clusterIP: 10.0.0.1
      ports: [{port: \(port)}]

    """
}
