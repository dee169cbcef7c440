import Foundation
import Logging
import ProxyCore

/// How a line of the log is written.
public enum LogFormat: String, Sendable {
    /// `2026-01-02T03:04:05.678Z warning iptables: message key=value`
    case text
    /// An object with `time`, `level`, `logger`, `message` and, where there is any, `metadata`.
    case json

    /// No text of a message or of its metadata is longer, in Unicode scalars; the rest is left out.
    static let textLimit = 8192

    /// One line with its line end. Times are in UTC; metadata is ordered by its keys.
    func line(
        at time: Date, _ level: Logger.Level, _ label: String, _ message: String, _ metadata: Logger.Metadata
    ) -> [UInt8] {
        let time = time.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        var text = ""
        switch self {
        case .text:
            text = "\(time) \(level.rawValue) \(label.printable(limit: Self.textLimit)): "
            text += message.printable(limit: Self.textLimit)
            for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
                text += " \(Self.word(key))=\(Self.word(value.description))"
            }
        case .json:
            text = "{\"time\":\"\(time)\",\"level\":\"\(level.rawValue)\",\"logger\":\(Self.quoted(label))"
            text += ",\"message\":\(Self.quoted(message))"
            if !metadata.isEmpty { text += ",\"metadata\":\(Self.json(.dictionary(metadata)))" }
            text += "}"
        }
        return Array((text + "\n").utf8)
    }

    /// The text as one word: in quotes if it would not be read back as one.
    private static func word(_ text: String) -> String {
        let text = text.printable(limit: textLimit)
        guard text.isEmpty || text.contains(where: { " \"=".contains($0) }) else { return text }
        return "\"\(text.replacing("\"", with: "\\\""))\""
    }

    private static func json(_ value: Logger.MetadataValue) -> String {
        switch value {
        case .string(let text): quoted(text)
        case .stringConvertible(let value): quoted(value.description)
        case .array(let values): "[\(values.map { json($0) }.joined(separator: ","))]"
        case .dictionary(let values):
            "{"
                + values.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(json($0.value))" }.joined(separator: ",")
                + "}"
        }
    }

    /// A text of JSON, on one line.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        var count = 0
        for scalar in text.unicodeScalars {
            guard count < textLimit else { return result + "…\"" }
            count += 1
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            // What a terminal would act on, and what some readers take for the end of a line.
            case _
            where scalar.value < 32 || (127..<160).contains(scalar.value) || [0x2028, 0x2029].contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
