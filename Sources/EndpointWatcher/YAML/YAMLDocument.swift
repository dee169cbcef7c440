import ProxyCore
import Yams

/// A document or a part of it that does not parse.
struct ParseFailure: Error {
    var line: Int
    var sentence: String
}

/// A node of a composed document, and the place where the document begins in its file.
///
/// JSON is YAML, so this is also how the line of a fault in a JSON document is found.
struct YAMLDocument {
    /// How the sentence about text that is not YAML begins.
    static let fault = "is not valid YAML"

    let root: Yams.Node
    /// What to add to a line of the document.
    private let lineOffset: Int

    init(root: Yams.Node, in document: YAMLDocument) {
        self.root = root
        lineOffset = document.lineOffset
    }

    /// Composes a document that begins in a line of its file.
    init(_ bytes: ArraySlice<UInt8>, line: Int) throws(ParseFailure) {
        lineOffset = line - 1
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ParseFailure(line: line, sentence: "is not UTF-8")
        }
        do {
            // Without rules of its own the resolver runs no regular expressions: scalars are resolved when they are
            // written as JSON.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            guard let root = try parser.singleRoot() else {
                throw ParseFailure(line: line, sentence: "is empty")
            }
            self.root = root
        } catch let failure as ParseFailure {
            throw failure
        } catch {
            throw Self.failure(error, line: line)
        }
    }

    /// The line of a node in the file.
    func line(of node: Yams.Node) -> Int? { node.mark.map { $0.line + lineOffset } }

    /// The line of a field, or of what is nearest to it, and its value as written; no value if there is none.
    func find(_ path: [InputFault.PathStep]) -> (line: Int?, value: String?) {
        var node = root
        var line = line(of: root)
        for step in path {
            switch (step, node) {
            case (.key(let key), .mapping(let mapping)):
                guard let pair = mapping.first(where: { $0.key.scalar?.string == key }) else { return (line, nil) }
                line = self.line(of: pair.key) ?? line
                node = pair.value
            case (.index(let index), .sequence(let sequence)) where sequence.indices.contains(index):
                node = sequence[index]
                line = self.line(of: node) ?? line
            default: return (line, nil)
            }
        }
        return (line, Self.spelling(of: node))
    }

    /// A value as it is written, in short.
    private static func spelling(of node: Yams.Node) -> String {
        switch node {
        case .scalar(let scalar):
            switch scalar.style {
            case .doubleQuoted: "\"\(scalar.string.printable())\""
            case .singleQuoted: "'\(scalar.string.printable())'"
            case .plain where scalar.string.isEmpty: "null"
            default: scalar.string.printable()
            }
        case .sequence(let sequence): sequence.isEmpty ? "[]" : "[…]"
        case .mapping(let mapping): mapping.isEmpty ? "{}" : "{…}"
        case .alias: "an alias"
        }
    }

    private static func failure(_ error: any Error, line: Int) -> ParseFailure {
        let offset = line - 1
        switch error {
        case YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _):
            let isTooDeep = problem.contains("nesting level")
            return ParseFailure(
                line: mark.line + offset,
                sentence: isTooDeep
                    ? "is nested deeper than \(JSONOutline.depthLimit) levels"
                    : "\(Self.fault): \(problem.printable(limit: 200))")
        case YamlError.reader(let problem, let index, _, let yaml):
            let before = yaml.utf8.prefix(max(index ?? 0, 0))
            let ends = before.count { $0 == UInt8(ascii: "\n") }
            return ParseFailure(line: line + ends, sentence: "\(Self.fault): \(problem.printable(limit: 200))")
        case YamlError.duplicatedKeysInMapping(let keys, let context):
            let names = keys.map { "\"\($0.printable())\"" }.joined(separator: ", ")
            return ParseFailure(
                line: context.mark.line + offset, sentence: "\(Self.fault): the key \(names) is repeated")
        default:
            return ParseFailure(line: line, sentence: Self.fault)
        }
    }
}
