import Foundation
public import ProxyCore

/// Reads a file that holds one KubeProxyConfiguration, in YAML or JSON.
public struct ConfigurationReader {
    /// Reads a file; `-` is standard input. All faults are reported together; unknown fields are warned about.
    public static func read(path: String) throws(InputError) -> (ProxyConfiguration, [Diagnostic]) {
        let name = path == "-" ? "standard input" : path
        var bytes: [UInt8] = []
        do throws(ReadFailure) {
            let file = try InputFile(path: path)
            while try file.read(into: &bytes) {}
        } catch {
            throw InputError([Diagnostic(.error, at: name, error.sentence)])
        }
        return try read(bytes, name: name)
    }

    /// Reads the bytes of a file, which diagnostics call `name`.
    public static func read(_ bytes: [UInt8], name: String) throws(InputError) -> (ProxyConfiguration, [Diagnostic]) {
        let document: YAMLDocument
        let json: [UInt8]
        do throws(ParseFailure) {
            let part = try onlyDocument(bytes)
            document = try YAMLDocument(part.bytes, line: part.line)
            json = try JSONWriter(document, sourceSize: part.bytes.count).bytes
        } catch {
            let location = error.line > 0 ? "\(name):\(error.line)" : name
            throw InputError([Diagnostic(.error, at: location, error.sentence)])
        }
        guard let decoded = try? JSONDecoder().decode(KubeProxyConfiguration.self, from: Data(json)) else {
            let line = document.line(of: document.root).map { ":\($0)" } ?? ""
            throw InputError([Diagnostic(.error, at: name + line, "is not an object")])
        }
        let diagnostics = decoded.faults.map { fault in
            let place = document.find(fault.path)
            return Diagnostic(
                fault.severity, at: place.line.map { "\(name):\($0)" } ?? name, fault.message(written: place.value))
        }
        guard !diagnostics.contains(where: { $0.severity == .error }) else { throw InputError(diagnostics) }
        return (decoded.configuration, diagnostics)
    }

    private static func onlyDocument(_ bytes: [UInt8]) throws(ParseFailure) -> Document {
        var reader = DocumentReader(bytes: bytes)
        do throws(ReadFailure) {
            guard let document = try reader.next() else { throw ReadFailure(sentence: "has no documents") }
            guard try reader.next() == nil else {
                throw ReadFailure(sentence: "has several documents; a configuration is one")
            }
            return document
        } catch {
            throw ParseFailure(line: 0, sentence: error.sentence)
        }
    }
}
