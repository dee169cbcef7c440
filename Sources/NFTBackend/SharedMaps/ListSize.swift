/// What is drawn from for a list of endpoints: the part of a list's length that a kind's name has.
///
/// Up to 64 it is the length. Longer lists are rounded up to one of sixteen steps between two powers of two, so that at
/// most 224 sizes exist and a long list that grows by one mostly keeps its chain. An index beyond the list's end has no
/// element; then the rule after it draws again. After three draws, which together fail for fewer than one packet in
/// four thousand, one from the indices that exist in every list of this size ends it.
struct ListSize: Hashable {
    /// The number of indices that are drawn from: the list's length, rounded up.
    let drawn: UInt32
    /// The number of indices that exist in the shortest list of this size.
    let certain: UInt32

    /// The longest list that is served: the local list begins behind it (`EndpointPool.offset`). Further endpoints get
    /// no traffic.
    static let limit = 65_536

    private static let exactLimit = 64
    private static let stepsPerDoubling = 16

    /// Nil for an empty list.
    init?(count: Int) {
        guard count > 0 else { return nil }
        let count = min(count, Self.limit)
        guard count > Self.exactLimit else {
            drawn = UInt32(count)
            certain = drawn
            return
        }
        let power = 1 << (Int.bitWidth - 1 - (count - 1).leadingZeroBitCount)
        let step = power / Self.stepsPerDoubling
        let rounded = (count + step - 1) / step * step
        drawn = UInt32(rounded)
        certain = UInt32(rounded - step + 1)
    }

    var isExact: Bool { drawn == certain }

    /// What to draw, one after the other, until an element is there. The last exists whenever the list has an element.
    var draws: [UInt32] { isExact ? [drawn, 1] : [drawn, drawn, drawn, certain, 1] }
}

extension ListSize: CustomStringConvertible {
    var description: String { "\(drawn)" }
}
