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

/// What a transaction adds at its end.
public enum NFTAddition: Sendable {
    case element(NFTElement)
    /// An element for each endpoint, without making each of them.
    case endpoints(NFTEndpointList)

    /// Hands out its elements.
    func forEachElement(_ body: (NFTElement) -> Void) {
        switch self {
        case .element(let element): body(element)
        case .endpoints(let list):
            for (index, endpoint) in list.endpoints.enumerated() {
                body(
                    NFTElement(
                        set: list.set, key: list.prefix + [.number(list.firstIndex + UInt32(index))],
                        datum: .values(endpoint.values)))
            }
        }
    }
}

/// Endpoints that are picked from by an index, the last part of their keys.
public struct NFTEndpointList: Sendable {
    /// The name of the map.
    public var set: String
    /// The keys without the index.
    public var prefix: [NFTValue]
    public var firstIndex: UInt32
    public var endpoints: [NFTEndpoint]
}

/// What one sync commits to a family's table in one transaction.
public struct NFTTransaction: Sendable {
    /// Hands out what is added, one after the other; elements of one set in order, but sets mixed.
    public typealias Additions = @Sendable (_ body: (NFTAddition) -> Void) -> Void

    public let table: NFTTable.Identity
    /// The steps that come first.
    let steps: [NFTChange]
    /// What is added at the end: made as it is asked for, as all elements of 10,000 services take more memory than what
    /// they are made of.
    let forEachAddition: Additions

    public init(_ table: NFTTable.Identity, _ steps: [NFTChange], adding additions: @escaping Additions = { _ in }) {
        self.table = table
        self.steps = steps
        forEachAddition = additions
    }

    /// All steps in order, the elements that come at the end set by set.
    public var changes: [NFTChange] {
        var names: [String] = []
        var elements: [String: [NFTElement]] = [:]
        forEachAddition { addition in
            addition.forEachElement {
                if elements[$0.set] == nil { names.append($0.set) }
                elements[$0.set, default: []].append($0)
            }
        }
        return steps + names.flatMap { (elements[$0] ?? []).map(NFTChange.addElement) }
    }
}
