/// Where the items of a list are in the bytes of a JSON object, found without decoding it.
///
/// A `List` can be a whole cluster. Decoding its items one by one keeps one of them in memory instead of all.
struct JSONOutline {
    enum Failure: Error {
        /// Not JSON, or not an object.
        case malformed
        /// Nested deeper than any object of the API, at this index.
        case tooDeep(Int)
    }

    /// How deep objects and lists may be nested.
    static let depthLimit = 100

    /// The value of the top-level field `items`, with its brackets; nil unless it is a list of objects.
    private(set) var list: Range<Int>?
    private(set) var items: [Range<Int>] = []

    private var depth = 0
    private var isInList = false
    private var hasOtherItems = false
    private var expectsComma = false
    private var itemStart = 0
    private var listStart = 0

    /// Reads an object that begins at the first byte that is not white space.
    init(_ bytes: ArraySlice<UInt8>) throws(Failure) {
        let result = bytes.withUnsafeBufferPointer { buffer in
            Result { () throws(Failure) in try scan(buffer, from: bytes.startIndex) }
        }
        try result.get()
        if hasOtherItems { list = nil }
    }

    /// Walks over the bytes; `base` is added to every index that is kept.
    private mutating func scan(_ bytes: UnsafeBufferPointer<UInt8>, from base: Int) throws(Failure) {
        var index = 0
        var name = 0..<0
        var isClosed = false
        while index < bytes.count {
            let byte = bytes[index]
            if isClosed, ![32, 9, 10, 13].contains(byte) { throw .malformed }
            switch byte {
            case UInt8(ascii: "\""):
                let end = try Self.endOfText(bytes, index)
                if depth == 1 { name = index + 1..<end }
                if isInList, depth == 2 { hasOtherItems = true }
                index = end
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                guard depth <= Self.depthLimit else { throw .tooDeep(base + index) }
                if depth == 2, byte == UInt8(ascii: "["), bytes[name].elementsEqual("items".utf8) {
                    listStart = base + index
                    (isInList, expectsComma, items) = (true, false, [])
                } else if isInList, depth == 3 {
                    if expectsComma || byte == UInt8(ascii: "[") { hasOtherItems = true }
                    itemStart = base + index
                }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                close(base + index)
                guard depth >= 0 else { throw .malformed }
                isClosed = depth == 0
            case UInt8(ascii: ",") where isInList && depth == 2:
                if !expectsComma { hasOtherItems = true }
                expectsComma = false
            case 32, 9, 10, 13: break
            default:
                if isInList, depth == 2 { hasOtherItems = true }
            }
            index += 1
        }
        guard isClosed else { throw .malformed }
    }

    private mutating func close(_ index: Int) {
        if isInList, depth == 3 {
            items.append(itemStart..<index + 1)
            expectsComma = true
        } else if isInList, depth == 2 {
            // A comma before the bracket is no JSON.
            if !expectsComma, !items.isEmpty { hasOtherItems = true }
            list = listStart..<index + 1
            isInList = false
        }
        depth -= 1
    }

    /// The index of the quote that closes a text.
    private static func endOfText(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) throws(Failure) -> Int {
        var index = start + 1
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""): return index
            case UInt8(ascii: "\\"): index += 2
            default: index += 1
            }
        }
        throw .malformed
    }
}
