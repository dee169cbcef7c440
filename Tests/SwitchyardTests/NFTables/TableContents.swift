import NFTBackend

/// What a table has, in a form in which equal tables are equal: the kernel lists elements in any order.
struct TableContents: Equatable {
    private var comment: String?
    private var chains: [String: NFTKernelTable.Chain] = [:]
    /// Without their elements.
    private var sets: [String: NFTKernelTable.Set] = [:]
    private var elements: [String: Set<NFTKernelTable.Element>] = [:]
    private var counters: [String]

    init(_ table: NFTKernelTable) {
        comment = table.identity.comment
        for chain in table.chains { chains[chain.name] = chain }
        for set in table.sets {
            elements[set.name] = Set(set.elements)
            sets[set.name] = set
            sets[set.name]?.elements = []
        }
        counters = table.counters.map(\.name)
    }

    /// The first of what differs; nil if nothing does.
    func difference(from other: TableContents) -> String? {
        if comment != other.comment { return "the comment of the table" }
        if counters != other.counters { return "counters" }
        for name in Set(chains.keys).union(other.chains.keys).sorted() where chains[name] != other.chains[name] {
            return "chain \(name)"
        }
        for name in Set(sets.keys).union(other.sets.keys).sorted() {
            if sets[name] != other.sets[name] { return "set \(name)" }
            let difference = (elements[name] ?? []).symmetricDifference(other.elements[name] ?? [])
            if !difference.isEmpty { return "set \(name): \(difference)" }
        }
        return nil
    }
}
