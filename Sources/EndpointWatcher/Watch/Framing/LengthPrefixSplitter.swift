/// Splits a watch in protobuf: each event has its length before it, in four bytes, big-endian.
struct LengthPrefixSplitter: BodySplitter {
    private var pending = PendingBytes()
    /// Bytes of an object that is too large which are still to come.
    private var skip = 0
    private let limit: Int

    init(limit: Int = BodyLimits.object) {
        self.limit = limit
    }

    var isAtEnd: Bool { pending.count == 0 && skip == 0 }

    mutating func take(_ chunk: [UInt8], into messages: inout [BodyMessage]) throws(FramingFailure) {
        pending.append(chunk)
        while true {
            skip -= pending.drop(skip)
            guard skip == 0, pending.count >= 4 else { return }
            let length = (0..<4).reduce(0) { $0 << 8 | Int(pending[$1]) }
            guard length <= BodyLimits.plausibleLength else {
                throw FramingFailure(sentence: "sent bytes that are no events")
            }
            if length > limit {
                messages.append(.tooLarge(bytes: length))
                pending.drop(4)
                skip = length
            } else {
                guard pending.count >= 4 + length else { return }
                pending.drop(4)
                messages.append(.object(pending.take(length)))
            }
        }
    }
}
