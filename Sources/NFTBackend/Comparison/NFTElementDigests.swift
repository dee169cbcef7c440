/// What the elements of a table's sets come to, so that those of two tables are compared without either being kept.
///
/// The elements of a set are dealt to parts by their keys, and of each part the number of its elements is known and the
/// sum of their hashes. Parts whose elements are equal are equal; others are so with a chance of one in 2^64, as the
/// hashes of a process begin with a random number.
public struct NFTElementDigests: Sendable {
    struct Part: Hashable {
        var count = 0
        var sum: UInt64 = 0
    }

    static let partCount = 512

    private var parts: [String: [Part]] = [:]

    mutating func add(_ element: NFTKernelTable.Element, of set: String) {
        var hasher = Hasher()
        hasher.combine(element.key)
        hasher.combine(element.datum)
        let hash = UInt64(truncatingIfNeeded: Int64(hasher.finalize()))
        let part = Self.part(of: element.key)
        parts[set, default: Array(repeating: Part(), count: Self.partCount)][part].count += 1
        parts[set]?[part].sum &+= hash
    }

    fileprivate static func part(of key: [UInt8]) -> Int {
        var hasher = Hasher()
        hasher.combine(key)
        return Int(UInt(bitPattern: hasher.finalize()) % UInt(partCount))
    }

    /// The parts that are not as in another table.
    ///
    /// - Parameter limit: about how many elements are to be looked at more closely; where that is not enough for all
    ///   that differs, the selection says so.
    func differing(from other: NFTElementDigests, limit: Int) -> NFTElementSelection {
        var selection = NFTElementSelection()
        var rest = limit
        for set in Set(parts.keys).union(other.parts.keys).sorted() {
            for index in 0..<Self.partCount {
                let (mine, theirs) = (parts[set]?[index] ?? Part(), other.parts[set]?[index] ?? Part())
                guard mine != theirs else { continue }
                if rest > 0 {
                    selection.parts[set, default: []].insert(index)
                    rest -= max(mine.count, theirs.count)
                } else {
                    selection.incomplete.insert(set)
                }
            }
        }
        return selection
    }
}

/// Some of the elements of a table, chosen by parts of its sets.
public struct NFTElementSelection: Sendable {
    fileprivate var parts: [String: Set<Int>] = [:]
    /// The sets in which more should have been chosen.
    public fileprivate(set) var incomplete: Set<String> = []

    public var isEmpty: Bool { parts.isEmpty }

    /// The sets of which some elements are chosen.
    public func contains(set: String) -> Bool { parts[set] != nil }

    func contains(_ key: [UInt8], of set: String) -> Bool {
        parts[set]?.contains(NFTElementDigests.part(of: key)) ?? false
    }
}
