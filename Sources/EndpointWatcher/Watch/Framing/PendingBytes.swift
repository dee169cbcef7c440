/// Bytes that have arrived and were not used yet.
struct PendingBytes: Sendable {
    private var bytes: [UInt8] = []
    private var start = 0

    var count: Int { bytes.count - start }

    /// The byte at a distance from the first, which must be below `count`.
    subscript(_ distance: Int) -> UInt8 { bytes[start + distance] }

    mutating func append(_ chunk: [UInt8]) {
        if start > 0 {
            bytes.removeSubrange(..<start)
            start = 0
        }
        bytes += chunk
    }

    /// Removes the first bytes, at most as many as there are, and returns their number.
    @discardableResult
    mutating func drop(_ count: Int) -> Int {
        let dropped = min(count, self.count)
        start += dropped
        return dropped
    }

    /// Removes and returns the first bytes, at most as many as there are.
    mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        let end = start + min(count, self.count)
        defer { start = end }
        return Array(bytes[start..<end])[...]
    }
}
