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
    /// A counter, which goes on from what it says. One that is there already stays as it is.
    case addCounter(NFTCounter)
    case deleteCounter(String)
    case addElement(NFTElement)
    case deleteElement(set: String, key: [NFTValue])
    /// All elements of a set.
    case flushSet(String)
}

/// What one sync commits to a family's table in one transaction.
public struct NFTTransaction: Sendable {
    /// Hands out elements one after the other; those of one set in order, but sets mixed.
    public typealias Elements = @Sendable (_ body: (NFTElement) -> Void) -> Void

    public let table: NFTTable.Identity
    /// The steps that come first.
    let steps: [NFTChange]
    /// What is added at the end: made as it is asked for, as all elements of 10,000 services take more memory than what
    /// they are made of.
    let forEachElement: Elements

    public init(_ table: NFTTable.Identity, _ steps: [NFTChange], adding elements: @escaping Elements = { _ in }) {
        self.table = table
        self.steps = steps
        forEachElement = elements
    }

    /// All steps in order, the elements that come at the end set by set.
    public var changes: [NFTChange] {
        var names: [String] = []
        var elements: [String: [NFTElement]] = [:]
        forEachElement {
            if elements[$0.set] == nil { names.append($0.set) }
            elements[$0.set, default: []].append($0)
        }
        return steps + names.flatMap { (elements[$0] ?? []).map(NFTChange.addElement) }
    }
}
