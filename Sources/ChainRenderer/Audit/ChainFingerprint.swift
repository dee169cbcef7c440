import ProxyCore

/// What the rules of a chain mean, in their order, as a number: equal where the meanings are, and different otherwise
/// but for one chance in 2^64. It is good for this process only (`Hasher`).
struct ChainFingerprint: Sendable {
    private var value: UInt64 = 0
    /// The same without the last rule.
    private var before: UInt64 = 0

    mutating func append(_ meaning: RuleMeaning, _ accounting: inout AccountingFilter) {
        var meaning = meaning
        if accounting.pass(&meaning) { value = before }
        before = value
        var hasher = Hasher()
        hasher.combine(value)
        hasher.combine(meaning)
        value = UInt64(bitPattern: Int64(hasher.finalize()))
    }
}

extension ChainFingerprint: Equatable {
    static func == (left: Self, right: Self) -> Bool { left.value == right.value }
}

/// The name of a chain and its table as a number, for tables of many chains. It is good for this process only.
struct ChainKey: Hashable, Sendable {
    private let value: UInt64

    init(_ table: IPTablesBatch.TableName, _ name: ArraySlice<UInt8>) {
        var hasher = Hasher()
        hasher.combine(table)
        name.withUnsafeBytes { hasher.combine(bytes: $0) }
        value = UInt64(bitPattern: Int64(hasher.finalize()))
    }

    init(_ table: IPTablesBatch.TableName, _ name: String) { self.init(table, Array(name.utf8)[...]) }
}
