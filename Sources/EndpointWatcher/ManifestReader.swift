public import ProxyCore

/// Reads manifests: files of YAML or JSON with any number of documents, lists among them.
///
/// Everything is read before anything is refused, so that all faults are reported together.
public struct ManifestReader {
    /// Reads files; `-` is standard input. Where `isStrict`, warnings refuse as errors do.
    public static func read(paths: [String], isStrict: Bool = false) throws(InputError) -> Manifests {
        var collector = ManifestCollector()
        for path in paths {
            let name = path == "-" ? "standard input" : path
            do throws(ReadFailure) {
                let file = try InputFile(path: path)
                var documents = try DocumentReader { (buffer) throws(ReadFailure) in try file.read(into: &buffer) }
                try collector.read(&documents, of: name)
            } catch {
                collector.diagnostics.append(Diagnostic(.error, at: name, error.sentence))
            }
        }
        return try collector.finish(isStrict: isStrict)
    }

    /// Reads the bytes of one file, which diagnostics call `name`.
    public static func read(_ bytes: [UInt8], name: String, isStrict: Bool = false) throws(InputError) -> Manifests {
        var collector = ManifestCollector()
        var documents = DocumentReader(bytes: bytes)
        do throws(ReadFailure) {
            try collector.read(&documents, of: name)
        } catch {
            collector.diagnostics.append(Diagnostic(.error, at: name, error.sentence))
        }
        return try collector.finish(isStrict: isStrict)
    }
}

/// The objects of some manifests.
public struct Manifests: Sendable {
    /// One change for each object that was read, in the order of the input.
    public var changes: [ObjectChange]
    /// Notes and warnings, in the order of the input.
    public var diagnostics: [Diagnostic]

    public init(changes: [ObjectChange] = [], diagnostics: [Diagnostic] = []) {
        self.changes = changes
        self.diagnostics = diagnostics
    }

    public var services: [Service] { changes.compactMap { if case .service(let object) = $0 { object } else { nil } } }

    public var endpointSlices: [EndpointSlice] {
        changes.compactMap { if case .endpointSlice(let object) = $0 { object } else { nil } }
    }

    public var nodes: [Node] { changes.compactMap { if case .node(let object) = $0 { object } else { nil } } }

    public var serviceCIDRs: [ServiceCIDR] {
        changes.compactMap { if case .serviceCIDR(let object) = $0 { object } else { nil } }
    }
}
