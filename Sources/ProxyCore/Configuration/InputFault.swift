/// A fault in a document, told by the path of its field.
///
/// What read the document adds the file, the line and the value as it is written there.
public struct InputFault: Hashable, Sendable {
    public enum PathStep: Hashable, Sendable {
        case key(String)
        case index(Int)
    }

    /// The value that the sentence names.
    public enum Value: Hashable, Sendable {
        case none
        /// Only the document knows it.
        case asWritten
        /// Known to what found the fault; the document's own spelling is preferred.
        case text(String)
    }

    public var severity: Diagnostic.Severity
    public var path: [PathStep]
    public var value: Value
    /// What is wrong and what becomes of it, without a full stop: `is not an IP address; the address is left out`.
    public var sentence: String

    package init(
        _ severity: Diagnostic.Severity, _ path: [PathStep], _ sentence: String, value: Value = .asWritten
    ) {
        self.severity = severity
        self.path = path
        self.value = value
        self.sentence = sentence
    }

    /// `spec.ports[0].port: "80" is not a whole number; the port is left out`
    package func message(written: String?) -> String {
        let shown: String? =
            switch value {
            case .none: nil
            case .asWritten: written
            case .text(let text): written ?? text
            }
        let label = path.isEmpty ? "" : "\(path.fieldPath): "
        return shown.map { "\(label)\($0) \(sentence)" } ?? "\(label)\(sentence)"
    }
}

extension InputFault.PathStep: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    public init(stringLiteral value: String) { self = .key(value) }
    public init(integerLiteral value: Int) { self = .index(value) }
}

extension InputFault.PathStep {
    init(_ key: any CodingKey) {
        self = key.intValue.map { .index($0) } ?? .key(key.stringValue)
    }
}

extension [InputFault.PathStep] {
    /// `spec.ports[0].port`; keys that are not plain words are quoted.
    package var fieldPath: String {
        var text = ""
        for step in self {
            switch step {
            case .index(let index): text += "[\(index)]"
            case .key(let key) where key.contains("."): text += "[\"\(key.printable())\"]"
            case .key(let key): text += text.isEmpty ? key.printable() : ".\(key.printable())"
            }
        }
        return text
    }
}

extension String {
    /// The text fit for a message of one line: control characters escaped, at most `limit` characters.
    package func printable(limit: Int = 60) -> String {
        var text = ""
        var count = 0
        for scalar in unicodeScalars {
            guard count < limit else { return text + "…" }
            count += 1
            if scalar.value < 32 || (127..<160).contains(scalar.value) || [0x2028, 0x2029].contains(scalar.value) {
                text += scalar.escaped(asASCII: true)
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}

/// A value that a decoder found to be of another type than it should be.
package struct TypeFault: Hashable, Sendable {
    package var path: [InputFault.PathStep]
    /// `a string`, `a list`
    package var expected: String

    /// `type` is what was to be decoded: not every error of a decoder tells it.
    package init(_ error: any Error, path: [any CodingKey], decoding type: Any.Type) {
        var path = path
        var expected: String? = Self.isScalar(type) ? Self.name(of: type) : nil
        switch error {
        case DecodingError.typeMismatch(let type, let context), DecodingError.valueNotFound(let type, let context):
            path = context.codingPath
            expected = Self.name(of: type)
        case DecodingError.dataCorrupted(let context):
            if context.codingPath.count > path.count { path = context.codingPath }
        default: break
        }
        self.path = path.map(InputFault.PathStep.init)
        self.expected = expected ?? "readable"
    }

    private static func isScalar(_ type: Any.Type) -> Bool {
        type is String.Type || type is Bool.Type || type is Double.Type || type is Int.Type
    }

    private static func name(of type: Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is Double.Type: "a number"
        case is Int.Type: "a whole number"
        default: String(describing: type).hasPrefix("Array<") ? "a list" : "an object"
        }
    }
}
