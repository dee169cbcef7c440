#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Splits a watch in JSON: each event is a line.
///
/// An event that is cut short by a fault costs its own line only.
struct JSONLineSplitter: BodySplitter {
    /// The line at hand, as far as it has arrived.
    private var line: [UInt8] = []
    /// How many bytes of a line that is too large have arrived; 0 if it is not.
    private var skipped = 0
    private let limit: Int

    init(limit: Int = BodyLimits.object) {
        self.limit = limit
    }

    var isAtEnd: Bool { skipped == 0 && Self.firstByte(of: line[...]) == nil }

    mutating func take(_ chunk: [UInt8], into messages: inout [BodyMessage]) throws(FramingFailure) {
        var start = 0
        while start < chunk.count {
            let end = Self.newline(in: chunk, from: start)
            try add(chunk[start..<(end ?? chunk.count)], endsLine: end != nil, &messages)
            start = end.map { $0 + 1 } ?? chunk.count
        }
    }

    private mutating func add(
        _ part: ArraySlice<UInt8>, endsLine: Bool, _ messages: inout [BodyMessage]
    ) throws(FramingFailure) {
        if skipped > 0 || line.count + part.count > limit {
            skipped += line.count + part.count
            line = []
            if endsLine {
                messages.append(.tooLarge(bytes: skipped))
                skipped = 0
            }
            return
        }
        let whole: ArraySlice<UInt8>
        if endsLine, line.isEmpty {
            whole = part
        } else {
            line += part
            whole = line[...]
        }
        let first = Self.firstByte(of: whole)
        guard first == nil || first == UInt8(ascii: "{") else {
            throw FramingFailure(sentence: "sent text that is no event")
        }
        guard endsLine else { return }
        if first != nil { messages.append(.object(whole)) }
        line = []
    }

    /// The first byte that is not white space.
    private static func firstByte(of line: ArraySlice<UInt8>) -> UInt8? {
        line.first { ![32, 9, 13].contains($0) }
    }

    private static func newline(in chunk: [UInt8], from start: Int) -> Int? {
        chunk.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, start < bytes.count,
                let found = memchr(base + start, Int32(UInt8(ascii: "\n")), bytes.count - start)
            else { return nil }
            return base.distance(to: found)
        }
    }
}
