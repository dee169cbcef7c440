/// Splits a list in JSON into its metadata and its items.
struct JSONListSplitter: BodySplitter {
    private enum Capture { case metadata, item }

    private static let garbage = FramingFailure(sentence: "sent text that is no list")

    /// How many objects and lists are open.
    private var depth = 0
    private var isInText = false
    /// True after a backslash in a text.
    private var isEscaped = false
    /// The name of the list's field at hand, as far as it tells the fields that are read from others.
    private var name: [UInt8] = []
    private var expectsName = false
    private var isInName = false
    private var isInItems = false
    private(set) var isAtEnd = false

    private var capture: Capture?
    /// What earlier chunks have of the part that is captured.
    private var captured: [UInt8] = []
    /// How many bytes of a part that is too large have arrived; 0 if it is not.
    private var skipped = 0
    private let limit: Int

    init(limit: Int = BodyLimits.object) {
        self.limit = limit
    }

    mutating func take(_ chunk: [UInt8], into messages: inout [BodyMessage]) throws(FramingFailure) {
        // Where the part that is captured begins in the chunk.
        var start = 0
        for index in chunk.indices {
            let byte = chunk[index]
            if isInText {
                readText(byte)
                continue
            }
            switch byte {
            case 32, 9, 10, 13: break
            case UInt8(ascii: "\""): try beginText()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                if try open(byte) { start = index }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                guard depth >= 0 else { throw Self.garbage }
                close(chunk[start...index], &messages)
            case UInt8(ascii: ","):
                guard depth > 0 else { throw Self.garbage }
                if depth == 1 { expectsName = true }
            case UInt8(ascii: ":"):
                guard depth > 0 else { throw Self.garbage }
                if depth == 1 { expectsName = false }
            default:
                guard depth > 0, !(isInItems && depth == 2) else { throw Self.garbage }
            }
        }
        if capture != nil { keep(chunk[start...]) }
    }

    private mutating func readText(_ byte: UInt8) {
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isInText = false
            isInName = false
        } else if isInName, name.count <= 8 {
            name.append(byte)
        }
    }

    private mutating func beginText() throws(FramingFailure) {
        guard depth > 0, !(isInItems && depth == 2) else { throw Self.garbage }
        isInText = true
        if depth == 1, expectsName {
            isInName = true
            name = []
        }
    }

    /// Opens an object or a list; true if what is captured begins with it.
    private mutating func open(_ byte: UInt8) throws(FramingFailure) -> Bool {
        let isObject = byte == UInt8(ascii: "{")
        defer { depth += 1 }
        switch depth {
        case 0:
            guard isObject, !isAtEnd else { throw Self.garbage }
            expectsName = true
        case 1 where isObject && name.elementsEqual("metadata".utf8):
            capture = .metadata
            return true
        case 1 where !isObject && name.elementsEqual("items".utf8):
            isInItems = true
        case 2 where isInItems:
            guard isObject else { throw Self.garbage }
            capture = .item
            return true
        default: break
        }
        return false
    }

    /// Closes an object or a list. `part` is what the chunk has of the part that is captured, up to here.
    private mutating func close(_ part: ArraySlice<UInt8>, _ messages: inout [BodyMessage]) {
        if depth == 0 { isAtEnd = true }
        if depth == 1 { isInItems = false }
        guard let capture, depth == (capture == .item ? 2 : 1) else { return }
        if captured.isEmpty, skipped == 0, part.count <= limit {
            messages.append(capture == .item ? .object(part) : .listMetadata(part))
        } else {
            keep(part)
            if skipped > 0 {
                messages.append(.tooLarge(bytes: skipped))
            } else {
                messages.append(capture == .item ? .object(captured[...]) : .listMetadata(captured[...]))
            }
        }
        self.capture = nil
        captured = []
        skipped = 0
    }

    private mutating func keep(_ part: ArraySlice<UInt8>) {
        if skipped > 0 || captured.count + part.count > limit {
            skipped += captured.count + part.count
            captured = []
        } else {
            captured += part
        }
    }
}
