import Foundation
import ProxyCore
import Yams

/// Turns documents into object changes, and keeps what is at fault.
struct ManifestCollector {
    /// A kind or version that is not read.
    private struct UnreadKind: Hashable {
        var kind: String
        var apiVersion: String
        var readVersion: String?
    }

    /// A part of a file that is one document or one item of a list.
    private struct Part {
        var bytes: ArraySlice<UInt8>
        var line: Int
        var contentLine: Int
        /// Goes before messages about items: `items[3]: `.
        var label = ""
        /// For items of a typed list.
        var defaultKind: String?
        var defaultVersion = ""
    }

    var diagnostics: [Diagnostic] = []
    /// What could be read, whatever else is at fault.
    private(set) var changes: [ObjectChange] = []
    private(set) var documentCount = 0
    private var places: [ObjectKey: (index: Int, file: Int, line: Int)] = [:]
    private var files: [String] = []
    private var unread: [(kind: UnreadKind, line: Int, count: Int)] = []
    private var unreadIndex: [UnreadKind: Int] = [:]
    /// Whoever reads file by file hands it on, so that equal texts are kept once among all.
    var pool = StringPool()

    /// Reads every document of a file.
    mutating func read(_ documents: inout DocumentReader, of name: String) throws(ReadFailure) {
        files.append(name)
        let earlierCount = documentCount
        while let document = try documents.next() {
            documentCount += 1
            read(Part(bytes: document.bytes, line: document.line, contentLine: document.contentLine))
        }
        if documentCount == earlierCount { report(.error, nil, "has no documents") }
        for (kind, line, count) in unread { report(.note, line, Self.sentence(kind, count)) }
        unread = []
        unreadIndex = [:]
    }

    /// The objects, or every error; where `isStrict`, every warning too.
    func finish(isStrict: Bool) throws(InputError) -> Manifests {
        let limit: Diagnostic.Severity = isStrict ? .warning : .error
        if diagnostics.contains(where: { $0.severity >= limit }) {
            throw InputError(diagnostics.filter { $0.severity > .note })
        }
        return Manifests(changes: changes, diagnostics: diagnostics)
    }

    private mutating func read(_ part: Part) {
        let first = part.bytes.first { ![32, 9, 10, 13].contains($0) }
        if first == UInt8(ascii: "{") {
            do throws(JSONOutline.Failure) {
                if readJSON(part, try JSONOutline(part.bytes)) { return }
            } catch {
                if case .tooDeep(let index) = error {
                    let line = part.line + part.bytes[..<index].count { $0 == UInt8(ascii: "\n") }
                    report(.error, line, "\(part.label)is nested deeper than \(JSONOutline.depthLimit) levels")
                    return
                }
            }
        }
        do throws(ParseFailure) {
            let document = try YAMLDocument(part.bytes, line: part.line)
            readYAML(document, part, depth: 0)
        } catch {
            var sentence = error.sentence
            if first == UInt8(ascii: "{"), sentence.hasPrefix(YAMLDocument.fault) {
                sentence = "is neither valid JSON nor valid YAML" + sentence.dropFirst(YAMLDocument.fault.count)
            }
            report(.error, error.line, part.label + sentence)
        }
    }

    /// Reads a part as JSON; false if it does not parse as such.
    private mutating func readJSON(_ part: Part, _ outline: JSONOutline) -> Bool {
        if let list = outline.list {
            let bytes = part.bytes
            let envelope = Data(bytes[..<list.lowerBound]) + Data("[]".utf8) + Data(bytes[list.upperBound...])
            guard let object = Self.decode(envelope, part) else { return false }
            if case .list(let defaultKind, let apiVersion) = object {
                var line = part.line
                var counted = bytes.startIndex
                for (index, range) in outline.items.enumerated() {
                    line += Self.lineCount(bytes[counted..<range.lowerBound])
                    counted = range.lowerBound
                    read(
                        Part(
                            bytes: bytes[range], line: line, contentLine: line, label: "\(part.label)items[\(index)]: ",
                            defaultKind: defaultKind, defaultVersion: apiVersion))
                }
                return true
            }
        }
        guard let object = Self.decode(Data(part.bytes), part) else { return false }
        // Its items, if it has any, are not objects: the other way has the words for that.
        if case .list = object { return false }
        take(object, part, line: part.contentLine) { try? YAMLDocument(part.bytes, line: part.line) }
        return true
    }

    private mutating func readYAML(_ document: YAMLDocument, _ part: Part, depth: Int) {
        let line = document.line(of: document.root) ?? part.contentLine
        guard case .mapping(let mapping) = document.root else {
            report(.error, line, "\(part.label)is not an object")
            return
        }
        let object: WireObject?
        do throws(ParseFailure) {
            // The items of a list are written one by one; only the rest of a list is decoded here.
            let envelope = Yams.Node.mapping(Yams.Node.Mapping(mapping.filter { $0.key.scalar?.string != "items" }))
            let writer = try JSONWriter(
                YAMLDocument(root: envelope, in: document), sourceSize: part.bytes.count)
            object = Self.decode(Data(writer.bytes), part)
        } catch {
            report(.error, error.line, part.label + error.sentence)
            return
        }
        guard let object else {
            report(.error, line, "\(part.label)cannot be decoded")
            return
        }
        guard case .list(let defaultKind, let apiVersion) = object else {
            take(object, part, line: line) { document }
            return
        }
        var part = part
        (part.defaultKind, part.defaultVersion) = (defaultKind, apiVersion)
        readItems(of: mapping, document, part, depth: depth)
    }

    private mutating func readItems(of mapping: Yams.Node.Mapping, _ document: YAMLDocument, _ part: Part, depth: Int) {
        guard let items = mapping.first(where: { $0.key.scalar?.string == "items" })?.value else { return }
        guard case .sequence(let sequence) = items else {
            if case .scalar(let scalar) = items, YAMLScalar(scalar) == .null { return }
            report(.error, document.line(of: items), "\(part.label)items: is not a list")
            return
        }
        guard depth < JSONOutline.depthLimit else {
            report(.error, document.line(of: items), "has lists in lists beyond \(JSONOutline.depthLimit) levels")
            return
        }
        for (index, item) in sequence.enumerated() {
            var itemPart = part
            itemPart.label = "\(part.label)items[\(index)]: "
            readYAML(YAMLDocument(root: item, in: document), itemPart, depth: depth + 1)
        }
    }

    private static func decode(_ json: Data, _ part: Part) -> WireObject? {
        let decoder = JSONDecoder()
        if let kind = part.defaultKind, let kindKey = WireObject.defaultKindKey,
            let versionKey = WireObject.defaultVersionKey
        {
            decoder.userInfo = [kindKey: kind, versionKey: part.defaultVersion]
        }
        return try? decoder.decode(WireObject.self, from: json)
    }

    /// Keeps what an object says. The document is composed only if a fault's place is needed.
    private mutating func take(_ object: WireObject, _ part: Part, line: Int, _ compose: () -> YAMLDocument?) {
        if case .unread(let kind, let apiVersion, let readVersion) = object {
            let kind = UnreadKind(kind: kind, apiVersion: apiVersion, readVersion: readVersion)
            if let index = unreadIndex[kind] {
                unread[index].count += 1
            } else {
                unreadIndex[kind] = unread.count
                unread.append((kind, line, 1))
            }
            return
        }
        var faults: [InputFault] = []
        let change = object.change(&pool, &faults)
        if !faults.isEmpty {
            let document = compose()
            let subject = object.subject.isEmpty ? part.label : "\(object.subject): "
            for fault in faults {
                let place = document?.find(fault.path)
                report(fault.severity, place?.line ?? line, subject + fault.message(written: place?.value))
            }
        }
        if let change { keep(change, line: line) }
    }

    /// Keeps a change; of two for the same object, the later.
    private mutating func keep(_ change: ObjectChange, line: Int) {
        let key = change.key
        let file = files.count - 1
        if let earlier = places[key] {
            let place = "\(files[earlier.file]):\(earlier.line)"
            report(.note, line, "\(key): is also in \(place); the later one, here, is taken")
            changes[earlier.index] = change
            places[key] = (earlier.index, file, line)
        } else {
            places[key] = (changes.count, file, line)
            changes.append(change)
        }
    }

    private mutating func report(_ severity: Diagnostic.Severity, _ line: Int?, _ message: String) {
        let file = files.last ?? ""
        diagnostics.append(Diagnostic(severity, at: line.map { "\(file):\($0)" } ?? file, message))
    }

    private static func sentence(_ unread: UnreadKind, _ count: Int) -> String {
        let version = unread.apiVersion.isEmpty ? "no version" : unread.apiVersion.printable()
        let what = "\(count == 1 ? "one object" : "\(count) objects") of kind \(unread.kind.printable()) (\(version))"
        let end = unread.readVersion.map { ": \($0) is" } ?? ""
        return "\(what) \(count == 1 ? "is" : "are") not read\(end)"
    }

    private static func lineCount(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.withUnsafeBufferPointer { buffer in
            var count = 0
            for byte in buffer where byte == UInt8(ascii: "\n") { count += 1 }
            return count
        }
    }
}
