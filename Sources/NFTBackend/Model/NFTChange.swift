/// One step of a transaction. The kernel carries out all of a transaction, in order, or none.
public enum NFTChange: Hashable, Sendable {
    /// A table that is there already stays as it is (without NLM_F_EXCL).
    case addTable
    /// One of the family under another name, without a comment: only so that deleting it is not refused.
    case addOtherTable(name: String)
    /// With everything in it. A table of ours under this name that is not there refuses the transaction, so it is
    /// added first (`add table`, `delete table`).
    case deleteTable(name: String)
    /// A chain without its rules. One that is there already stays as it is.
    case addChain(NFTChain)
    /// At the end of its chain.
    case addRule(NFTRule, chain: String)
    /// All rules of a chain.
    case flushChain(String)
    case deleteChain(String)
    /// Indirect, as it is the largest and by far the rarest case: a transaction can have hundreds of thousands of steps.
    indirect case addSet(NFTSet)
    /// With its elements. No rule may name it.
    case deleteSet(String)
    /// A counter with a name, which starts at 0.
    case addCounter(String)
    case deleteCounter(String)
    case addElement(NFTElement)
    case deleteElement(set: String, key: [NFTValue])
    /// All elements of a set.
    case flushSet(String)
}

/// What one sync commits to a family's table in one transaction.
public struct NFTTransaction: Hashable, Sendable {
    public var table: NFTTable.Identity
    public var changes: [NFTChange]

    public init(_ table: NFTTable.Identity, _ changes: [NFTChange]) {
        self.table = table
        self.changes = changes
    }
}
