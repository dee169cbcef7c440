import Foundation
package import ProxyCore

/// A file that holds one object, in YAML or JSON, with the way from a fault in the object back to its line.
package struct ObjectFile<Object: Decodable> {
    package let object: Object
    private let document: YAMLDocument
    private let name: String

    /// Reads a file; `-` is standard input.
    package init(path: String) throws(InputError) {
        let name = path == "-" ? "standard input" : path
        let bytes: [UInt8]
        do throws(ReadFailure) {
            bytes = try fileBytes(path: path)
        } catch {
            throw InputError([Diagnostic(.error, at: name, error.sentence)])
        }
        try self.init(bytes, name: name)
    }

    /// Reads the bytes of a file, which diagnostics call `name`.
    package init(_ bytes: [UInt8], name: String) throws(InputError) {
        let json: [UInt8]
        do throws(ParseFailure) {
            let part = try onlyDocument(bytes)
            document = try YAMLDocument(part.bytes, line: part.line)
            json = try JSONWriter(document, sourceSize: part.bytes.count).bytes
        } catch {
            let location = error.line > 0 ? "\(name):\(error.line)" : name
            throw InputError([Diagnostic(.error, at: location, error.sentence)])
        }
        guard let object = try? JSONDecoder().decode(Object.self, from: Data(json)) else {
            let line = document.line(of: document.root).map { ":\($0)" } ?? ""
            throw InputError([Diagnostic(.error, at: name + line, "is not an object")])
        }
        self.object = object
        self.name = name
    }

    /// The fault with its file, its line and the value as it is written there.
    package func diagnostic(_ fault: InputFault) -> Diagnostic {
        let place = document.find(fault.path)
        return Diagnostic(
            fault.severity, at: place.line.map { "\(name):\($0)" } ?? name, fault.message(written: place.value))
    }
}

private func onlyDocument(_ bytes: [UInt8]) throws(ParseFailure) -> Document {
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
