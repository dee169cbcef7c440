/// How a message's JSON form becomes bytes: its fields by name.
///
/// The field numbers are those of the published `generated.proto` files of Kubernetes. Go writes a field that is not a
/// pointer even if it is empty, so such fields are marked.
struct ProtobufSchema: Sendable {
    indirect enum Kind: Sendable {
        case string, integer, bool
        case message(ProtobufSchema)
        /// `map<string, string>`.
        case map
        /// Seconds and nanoseconds, in JSON an RFC 3339 text.
        case time
        /// A number or a string.
        case intOrString
        /// JSON kept as bytes in a message of one field.
        case rawJSON
    }

    struct Field: Sendable {
        let name: String
        let number: Int
        let kind: Kind
        /// Written even if the JSON has no such field.
        let isAlways: Bool

        init(_ name: String, _ number: Int, _ kind: Kind = .string, always isAlways: Bool = false) {
            self.name = name
            self.number = number
            self.kind = kind
            self.isAlways = isAlways
        }
    }

    /// In ascending order of numbers, as Go writes them.
    let fields: [Field]

    init(_ fields: Field...) {
        self.fields = fields
    }

    func encode(_ value: JSONValue) -> [UInt8] {
        var writer = ProtobufWriter()
        for field in fields {
            switch value[field.name] {
            case .null: if field.isAlways { Self.write(.null, as: field, into: &writer) }
            case .array(let elements): elements.forEach { Self.write($0, as: field, into: &writer) }
            case let other: Self.write(other, as: field, into: &writer)
            }
        }
        return writer.bytes
    }

    private static func write(_ value: JSONValue, as field: Field, into writer: inout ProtobufWriter) {
        switch field.kind {
        case .string: writer.string(value.string ?? "", field.number)
        case .integer: writer.integer(value.integer ?? 0, field.number)
        case .bool: writer.integer(value.bool == true ? 1 : 0, field.number)
        case .message(let schema): writer.message(schema.encode(value), field.number)
        case .map:
            for (name, value) in value.fields.sorted(by: { $0.key < $1.key }) {
                var entry = ProtobufWriter()
                entry.string(name, 1)
                entry.string(value.string ?? "", 2)
                writer.message(entry.bytes, field.number)
            }
        case .time:
            var time = ProtobufWriter()
            if let seconds = value.string.flatMap(Timestamp.seconds) {
                time.integer(seconds, 1)
                time.integer(0, 2)
            }
            writer.message(time.bytes, field.number)
        case .intOrString:
            var choice = ProtobufWriter()
            choice.integer(value.string == nil ? 0 : 1, 1)
            choice.integer(value.integer ?? 0, 2)
            choice.string(value.string ?? "", 3)
            writer.message(choice.bytes, field.number)
        case .rawJSON:
            var raw = ProtobufWriter()
            raw.message(value.text, 1)
            writer.message(raw.bytes, field.number)
        }
    }
}

/// Writes the fields of a message.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    mutating func integer(_ value: Int, _ number: Int) {
        varint(UInt64(number) << 3)
        varint(UInt64(bitPattern: Int64(value)))
    }

    mutating func string(_ value: String, _ number: Int) {
        header(number, length: value.utf8.count)
        bytes += value.utf8
    }

    mutating func message(_ value: [UInt8], _ number: Int) {
        header(number, length: value.count)
        bytes += value
    }

    /// The start of a field of so many bytes, which the caller writes.
    mutating func header(_ number: Int, length: Int) {
        varint(UInt64(number) << 3 | 2)
        varint(UInt64(length))
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
