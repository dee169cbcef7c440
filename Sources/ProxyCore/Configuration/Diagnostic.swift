/// Something that the operator must be told about an input, as one sentence.
public struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
    public enum Severity: Int, Comparable, Sendable {
        /// Left out without loss: an object of a kind that no proxy reads.
        case note
        /// Costs one port, endpoint or source range; refused under `--strict`.
        case warning
        /// Refuses the input.
        case error

        public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    public var severity: Severity
    /// The file, and the line in it where that is known: `cluster.yaml:12`.
    public var location: String
    /// Names the object, the field and the value, and says what is wrong and what becomes of it.
    public var message: String

    public init(_ severity: Severity, at location: String, _ message: String) {
        self.severity = severity
        self.location = location
        self.message = message
    }

    /// `cluster.yaml:12: warning: Service default/web: …`
    public var description: String {
        let label =
            switch severity {
            case .note: "note"
            case .warning: "warning"
            case .error: "error"
            }
        return location.isEmpty ? "\(label): \(message)" : "\(location): \(label): \(message)"
    }
}

/// Input that was refused: every fault that was found.
public struct InputError: Error, Hashable, Sendable, CustomStringConvertible {
    public var diagnostics: [Diagnostic]

    public init(_ diagnostics: [Diagnostic]) {
        self.diagnostics = diagnostics
    }

    public var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}
