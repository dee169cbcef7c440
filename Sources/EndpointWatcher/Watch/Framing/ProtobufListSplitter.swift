/// Splits a list in protobuf into its metadata and its items.
///
/// After the four bytes `k8s\0` comes a runtime.Unknown, whose field 2 is the list: its field 1 is the metadata, and
/// each field 2 an item (`generated.proto` of apimachinery and of the API's groups).
struct ProtobufListSplitter: BodySplitter {
    private enum Place {
        case magic
        case envelope
        /// In the list, of which as many bytes are still to come.
        case list(Int)
    }

    /// The beginning of a field: its number, how many bytes it has, and how many come before those.
    private struct Field {
        var number: UInt64
        var isMessage: Bool
        var headerLength: Int
        var length: Int
    }

    private static let garbage = FramingFailure(sentence: "sent bytes that are no list")

    private var pending = PendingBytes()
    private var place = Place.magic
    private var hasList = false
    /// Bytes of a field that is not read which are still to come.
    private var skip = 0
    private let limit: Int

    init(limit: Int = BodyLimits.object) {
        self.limit = limit
    }

    var isAtEnd: Bool {
        guard case .envelope = place else { return false }
        return hasList && skip == 0 && pending.count == 0
    }

    mutating func take(_ chunk: [UInt8], into messages: inout [BodyMessage]) throws(FramingFailure) {
        pending.append(chunk)
        while true {
            skip -= pending.drop(skip)
            guard skip == 0 else { return }
            switch place {
            case .magic:
                for index in 0..<min(4, pending.count) where pending[index] != Self.magic[index] { throw Self.garbage }
                guard pending.count >= 4 else { return }
                pending.drop(4)
                place = .envelope
            case .list(0): place = .envelope
            case .envelope:
                guard let field = try nextField() else { return }
                pending.drop(field.headerLength)
                if field.number == 2, field.isMessage {
                    guard !hasList else { throw Self.garbage }
                    hasList = true
                    place = .list(field.length)
                } else {
                    skip = field.length
                }
            case .list(let left):
                guard let field = try nextField() else { return }
                guard try readField(field, left, &messages) else { return }
            }
        }
    }

    static let magic: [UInt8] = [0x6b, 0x38, 0x73, 0]

    /// Reads a field of the list; false if not all of it has arrived.
    private mutating func readField(
        _ field: Field, _ left: Int, _ messages: inout [BodyMessage]
    ) throws(FramingFailure) -> Bool {
        let size = field.headerLength + field.length
        guard size <= left else { throw Self.garbage }
        if field.isMessage, field.number <= 2, field.length <= limit {
            guard pending.count >= size else { return false }
            pending.drop(field.headerLength)
            let bytes = pending.take(field.length)
            messages.append(field.number == 2 ? .object(bytes) : .listMetadata(bytes))
        } else {
            if field.isMessage, field.number == 2 { messages.append(.tooLarge(bytes: field.length)) }
            pending.drop(field.headerLength)
            skip = field.length
        }
        place = .list(left - size)
        return true
    }

    /// The field that begins here; nil if its beginning has not arrived.
    private func nextField() throws(FramingFailure) -> Field? {
        guard let tag = try number(at: 0) else { return nil }
        let number = tag.value >> 3
        guard number > 0 else { throw Self.garbage }
        switch tag.value & 7 {
        case 0:
            guard let value = try self.number(at: tag.length) else { return nil }
            return Field(number: number, isMessage: false, headerLength: tag.length + value.length, length: 0)
        case 1: return Field(number: number, isMessage: false, headerLength: tag.length, length: 8)
        case 5: return Field(number: number, isMessage: false, headerLength: tag.length, length: 4)
        case 2:
            guard let length = try self.number(at: tag.length) else { return nil }
            // Larger than any list; the sums below must not overflow.
            guard length.value < 1 << 40 else { throw Self.garbage }
            return Field(
                number: number, isMessage: true, headerLength: tag.length + length.length, length: Int(length.value))
        default: throw Self.garbage
        }
    }

    /// A number of seven bits a byte, the lowest first, and how many bytes it has; nil if it has not arrived.
    private func number(at start: Int) throws(FramingFailure) -> (value: UInt64, length: Int)? {
        var value: UInt64 = 0
        for index in 0..<10 {
            guard start + index < pending.count else { return nil }
            let byte = pending[start + index]
            value |= UInt64(byte & 0x7f) << UInt64(7 * index)
            if byte < 0x80 { return (value, index + 1) }
        }
        throw Self.garbage
    }
}
