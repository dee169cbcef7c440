#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One document of a file.
struct Document {
    var bytes: ArraySlice<UInt8>
    /// The line that the bytes begin in, counted from 1.
    var line: Int
    /// The first line with content: comments and empty lines are passed over.
    var contentLine: Int
}

/// Splits a stream of bytes into documents, at the markers `---` and `...`.
///
/// A marker is one wherever it begins a line: YAML allows it in no scalar, and JSON has no line ends in its texts. Only
/// the document at hand is kept.
struct DocumentReader {
    private var buffer: [UInt8]
    /// The first byte that was not handed out, and the number of its line.
    private var start = 0
    private var line = 1
    private var isAtEnd: Bool
    /// Appends more bytes; false at the end.
    private let refill: (inout [UInt8]) throws(ReadFailure) -> Bool

    init(bytes: [UInt8]) {
        buffer = bytes
        isAtEnd = true
        refill = { (_: inout [UInt8]) throws(ReadFailure) in false }
        skipByteOrderMark()
    }

    init(refill: @escaping (inout [UInt8]) throws(ReadFailure) -> Bool) throws(ReadFailure) {
        buffer = []
        isAtEnd = false
        self.refill = refill
        while buffer.count < 3, !isAtEnd { isAtEnd = try !refill(&buffer) }
        skipByteOrderMark()
    }

    /// The next document that has any content; nil at the end.
    mutating func next() throws(ReadFailure) -> Document? {
        while true {
            if isAtEnd, start >= buffer.count { return nil }
            let firstLine = line
            let range = try takeDocument()
            if let contentLine = contentLine(of: range, from: firstLine) {
                return Document(bytes: buffer[range], line: firstLine, contentLine: contentLine)
            }
        }
    }

    /// Takes the bytes up to the next marker or the end.
    private mutating func takeDocument() throws(ReadFailure) -> Range<Int> {
        var cursor = start
        var searched = start
        while true {
            let end = newline(from: searched)
            if end == nil, !isAtEnd {
                searched = buffer.count
                let dropped = start
                buffer.removeSubrange(..<dropped)
                (start, cursor, searched) = (0, cursor - dropped, searched - dropped)
                isAtEnd = try !refill(&buffer)
                continue
            }
            let lineEnd = end ?? buffer.count
            if let marker = marker(at: cursor, lineEnd) {
                let range = start..<cursor
                // What follows `---` on its line belongs to the next document.
                start = marker == UInt8(ascii: "-") ? cursor + 3 : lineEnd
                return range
            }
            guard end != nil else {
                let range = start..<lineEnd
                start = lineEnd
                return range
            }
            cursor = lineEnd + 1
            searched = cursor
            line += 1
        }
    }

    private func newline(from index: Int) -> Int? {
        buffer.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, index < bytes.count,
                let found = memchr(base + index, Int32(UInt8(ascii: "\n")), bytes.count - index)
            else { return nil }
            return base.distance(to: found)
        }
    }

    private func marker(at index: Int, _ lineEnd: Int) -> UInt8? {
        guard lineEnd - index >= 3 else { return nil }
        let byte = buffer[index]
        guard byte == UInt8(ascii: "-") || byte == UInt8(ascii: "."), buffer[index + 1] == byte,
            buffer[index + 2] == byte
        else { return nil }
        return lineEnd - index == 3 || [32, 9, 13].contains(buffer[index + 3]) ? byte : nil
    }

    /// The number of the first line that is not empty, a comment or a directive; nil if there is none.
    private func contentLine(of range: Range<Int>, from first: Int) -> Int? {
        var line = first
        var isLineStart = true
        var isSkipping = false
        for index in range {
            let byte = buffer[index]
            switch byte {
            case UInt8(ascii: "\n"):
                line += 1
                isLineStart = true
                isSkipping = false
                continue
            case _ where isSkipping, UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): break
            case UInt8(ascii: "#"): isSkipping = true
            case UInt8(ascii: "%") where isLineStart: isSkipping = true
            default: return line
            }
            isLineStart = false
        }
        return nil
    }

    private mutating func skipByteOrderMark() {
        if buffer.starts(with: [0xef, 0xbb, 0xbf]) { start = 3 }
    }
}
