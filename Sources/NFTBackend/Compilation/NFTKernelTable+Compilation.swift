import CNftnl
import ProxyCore

extension NFTKernelTable {
    /// What the kernel has once a table is committed to it: the same that nft 1.0.6 makes of the table's text.
    ///
    /// - Parameters:
    ///   - elements: those of sets that the table has; others are left out.
    ///   - counters: the names of counters beside those that elements name.
    public init(compiling table: NFTTable, elements: [NFTElement], counters: [String] = []) {
        let family = table.identity.family
        var compiler = RuleCompiler(family)
        var anonymous: [Set] = []
        let chains = table.chains.map { chain in
            Chain(
                name: chain.name, hook: chain.hook, comment: chain.comment.map(Comment.shortened),
                rules: chain.rules.map { rule in
                    let compiled = compiler.compile(rule.statements)
                    anonymous += compiled.sets
                    return Rule(expressions: compiled.expressions, comment: rule.comment.map(Comment.shortened))
                })
        }
        var counters = Swift.Set(counters)
        for element in elements {
            if case .counter(let name) = element.datum { counters.insert(name) }
        }
        let sets = table.sets.map { Set($0, family) }
        var identity = table.identity
        identity.comment = identity.comment.map(Comment.shortened)
        self.init(
            identity: identity, chains: chains, sets: sets + anonymous,
            counters: counters.sorted().map { NFTCounter(name: $0) })
        take(elements)
    }

    /// Adds elements to the sets that it has; others are left out.
    mutating func take(_ elements: [NFTElement]) {
        let family = identity.family
        let places = Dictionary(sets.indices.map { (sets[$0].name, $0) }) { first, _ in first }
        for element in elements {
            if let place = places[element.set] { sets[place].elements.append(Element(element, family)) }
        }
    }
}

enum Comment {
    /// The most bytes that nft takes (NFTNL_UDATA_COMMENT_MAXLEN).
    static let maximumLength = Int(NFTNL_UDATA_COMMENT_MAXLEN)

    /// As much of a comment as nft would take, in whole characters.
    static func shortened(_ text: String) -> String {
        guard text.utf8.count > maximumLength else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: maximumLength)
        while end > text.startIndex, end.samePosition(in: text.unicodeScalars) == nil {
            end = text.utf8.index(before: end)
        }
        return String(text[..<end])
    }
}

extension NFTKernelTable.Set {
    /// A set with a name, without elements.
    init(_ set: NFTSet, _ family: IPFamily) {
        var flags: UInt32 = 0
        if set.isDynamic { flags |= NFT_SET_EVAL.rawValue }
        if set.hasTimeouts || set.timeoutSeconds != nil { flags |= NFT_SET_TIMEOUT.rawValue }
        var datumType: UInt32 = 0
        var datumLength: UInt32 = 0
        var objectType: UInt32?
        switch set.datum {
        case .none: break
        case .verdict:
            flags |= NFT_SET_MAP.rawValue
            datumType = NFT_DATA_VERDICT.rawValue
        case .counter:
            flags |= NFT_SET_OBJECT.rawValue
            objectType = UInt32(NFT_OBJECT_COUNTER)
        case .values(let types):
            flags |= NFT_SET_MAP.rawValue
            datumType = types.number(family)
            datumLength = UInt32(clamping: types.length(family))
        }
        self.init(
            name: set.name, comment: set.comment.map(Comment.shortened), flags: flags, keyType: set.key.number(family),
            keyLength: UInt32(clamping: set.key.length(family)), datumType: datumType, datumLength: datumLength,
            timeout: set.timeoutSeconds.map { UInt64(clamping: $0).multipliedReportingOverflow(by: 1000).partialValue },
            size: set.size, userData: NFTUserData.set(set, family), objectType: objectType)
    }
}

extension NFTKernelTable.Element {
    init(_ element: NFTElement, _ family: IPFamily) {
        var key: [UInt8] = []
        key.append(element.key, family)
        self.init(key: key, datum: Datum(element.datum, family), comment: element.comment.map(Comment.shortened))
    }
}

extension NFTKernelTable.Element.Datum {
    init(_ datum: NFTElement.Datum, _ family: IPFamily) {
        switch datum {
        case .none: self = .none
        case .verdict(let verdict): self = .verdict(verdict)
        case .counter(let name): self = .counter(name)
        case .values(let values):
            var bytes: [UInt8] = []
            bytes.append(values, family)
            self = .bytes(bytes)
        }
    }
}
