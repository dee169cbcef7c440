import Yams

/// Writes a composed YAML node as JSON.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []
    private let document: YAMLDocument
    /// What may still be written: aliases can make a short document expand without bounds.
    private var budget: Int
    private var depth = 0

    /// Writes the node of a document that has so many bytes.
    init(_ document: YAMLDocument, sourceSize: Int) throws(ParseFailure) {
        self.document = document
        budget = 10 * sourceSize + 1_000_000
        try write(document.root)
    }

    private mutating func write(_ node: Node) throws(ParseFailure) {
        try spend(1, at: node)
        switch node {
        case .scalar(let scalar): try write(scalar, node)
        case .alias: append("null")
        case .sequence(let sequence):
            try enter(node)
            var separator = UInt8(ascii: "[")
            for item in sequence {
                bytes.append(separator)
                try write(item)
                separator = UInt8(ascii: ",")
            }
            if sequence.isEmpty { bytes.append(separator) }
            bytes.append(UInt8(ascii: "]"))
            depth -= 1
        case .mapping(let mapping):
            try enter(node)
            var separator = UInt8(ascii: "{")
            for (key, value) in try entries(of: mapping) {
                bytes.append(separator)
                try spend(key.utf8.count, at: node)
                append(text: key)
                bytes.append(UInt8(ascii: ":"))
                try write(value)
                separator = UInt8(ascii: ",")
            }
            if separator == UInt8(ascii: "{") { bytes.append(separator) }
            bytes.append(UInt8(ascii: "}"))
            depth -= 1
        }
    }

    private mutating func write(_ scalar: Node.Scalar, _ node: Node) throws(ParseFailure) {
        try spend(scalar.string.utf8.count, at: node)
        switch YAMLScalar(scalar) {
        case .null: append("null")
        case .bool(let value): append(value ? "true" : "false")
        case .number(let text): append(text)
        case .text: append(text: scalar.string)
        }
    }

    /// The fields of a mapping, with merge keys (`<<`) resolved: its own fields go before merged ones, and earlier
    /// merged mappings before later ones.
    private mutating func entries(of mapping: Node.Mapping) throws(ParseFailure) -> [(key: String, value: Node)] {
        var entries: [(key: String, value: Node)] = []
        var merged: [Node] = []
        entries.reserveCapacity(mapping.count)
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key else {
                throw failure("has a key that is not a text", at: key)
            }
            if scalar.string == "<<", scalar.style == .plain {
                if case .sequence(let sequence) = value { merged += sequence } else { merged.append(value) }
            } else {
                entries.append((scalar.string, value))
            }
        }
        guard !merged.isEmpty else { return entries }
        var seen = Set(entries.map(\.key))
        for source in merged {
            guard case .mapping(let mapping) = source else { throw failure("merges what is not an object", at: source) }
            try enter(source)
            for entry in try self.entries(of: mapping) {
                try spend(1, at: source)
                if seen.insert(entry.key).inserted { entries.append(entry) }
            }
            depth -= 1
        }
        return entries
    }

    private mutating func enter(_ node: Node) throws(ParseFailure) {
        depth += 1
        guard depth <= JSONOutline.depthLimit else {
            throw failure("is nested deeper than \(JSONOutline.depthLimit) levels", at: node)
        }
    }

    private mutating func spend(_ count: Int, at node: Node) throws(ParseFailure) {
        budget -= count
        guard budget >= 0 else { throw failure("expands beyond all measure with its aliases", at: node) }
    }

    private func failure(_ sentence: String, at node: Node) -> ParseFailure {
        ParseFailure(line: document.line(of: node) ?? 1, sentence: sentence)
    }

    private mutating func append(_ text: String) { bytes += text.utf8 }

    private mutating func append(text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<32:
                let digits = String(byte, radix: 16)
                append("\\u00\(digits.count == 1 ? "0" : "")\(digits)")
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
