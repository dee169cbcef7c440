import CNftnl

/// Something in a table that is not as it is wanted.
public struct NFTDifference: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Hashable, Sendable {
        /// It is wanted and not there.
        case missing
        /// It is there and not wanted.
        case unexpected
        /// It is another than is wanted.
        case changed
    }

    public var kind: Kind
    /// Such as `chain pick-tcp-3` or `element 172.30.1.1 . tcp . 80 of service-ips`.
    public var object: String
    /// The service port that it belongs to, where it has a comment that says so.
    public var service: String?
    /// What is wanted and what was found, where that can be said in a few words.
    public var detail: String?

    /// `missing: element 172.30.1.1 . tcp . 80 of service-ips (default/web:http): goto pick-tcp-3`
    public var description: String {
        "\(kind.rawValue): \(object)" + (service.map { " (\($0))" } ?? "") + (detail.map { ": \($0)" } ?? "")
    }
}

/// Compares a table with the one that is wanted, by what it does: comments, handles, the order of elements and the
/// names of sets without a name of their own do not count, nor do elements that rules add.
public enum NFTComparison {
    /// - Parameter withElements: false where the elements have not been read.
    public static func differences(
        wanted: NFTKernelTable, found: NFTKernelTable, withElements: Bool = true
    ) -> [NFTDifference] {
        let chains = compareChains(wanted, found)
        let sets = compareSets(wanted, found, withElements)
        let counters = compare(
            Dictionary(wanted.counters.map { ($0.name, ()) }) { first, _ in first },
            Dictionary(found.counters.map { ($0.name, ()) }) { first, _ in first }, name: { "counter \($0)" },
            detail: { _, _ in nil })
        return chains + sets + counters
    }

    private static func compareChains(_ wanted: NFTKernelTable, _ found: NFTKernelTable) -> [NFTDifference] {
        let sets = (wanted: AnonymousSetContents(wanted), found: AnonymousSetContents(found))
        return compare(byName(wanted.chains, \.name), byName(found.chains, \.name), name: { "chain \($0)" }) {
            old, new in
            guard old.hook == new.hook else { return "it is called elsewhere" }
            guard old.dropsByDefault == new.dropsByDefault else { return "its policy is another" }
            guard old.rules.count == new.rules.count else {
                return "\(new.rules.count) rules instead of \(old.rules.count)"
            }
            let place = zip(old.rules, new.rules).enumerated().first { _, pair in
                sets.wanted.named(pair.0.expressions) != sets.found.named(pair.1.expressions)
            }
            return place.map { "rule \($0.offset + 1) is another" }
        }
    }

    private static func compareSets(
        _ wanted: NFTKernelTable, _ found: NFTKernelTable, _ withElements: Bool
    ) -> [NFTDifference] {
        let old = byName(wanted.sets.filter { !$0.isAnonymous }, \.name)
        let new = byName(found.sets.filter { !$0.isAnonymous }, \.name)
        var differences = compare(old, new, name: { "set \($0)" }) { old, new in
            old.hasSameShape(as: new) ? nil : "it is of another type"
        }
        guard withElements else { return differences }
        for (name, set) in old.sorted(by: { $0.key < $1.key }) where !set.isDynamic {
            guard let other = new[name], set.hasSameShape(as: other) else { continue }
            differences += compareElements(of: set, other)
        }
        return differences
    }

    private static func compareElements(
        of wanted: NFTKernelTable.Set, _ found: NFTKernelTable.Set
    ) -> [NFTDifference] {
        var expected = Dictionary(wanted.elements.map { ($0.key, $0) }) { _, last in last }
        var differences: [NFTDifference] = []
        func note(_ kind: NFTDifference.Kind, _ element: NFTKernelTable.Element, _ detail: String?) {
            differences.append(
                NFTDifference(
                    kind: kind, object: "element \(wanted.text(ofKey: element.key)) of \(wanted.name)",
                    service: element.comment, detail: detail))
        }
        for element in found.elements {
            guard let other = expected.removeValue(forKey: element.key) else {
                note(.unexpected, element, wanted.text(of: element.datum))
                continue
            }
            if other.datum != element.datum {
                let texts = (wanted.text(of: other.datum), wanted.text(of: element.datum))
                note(.changed, other, "\(texts.1) instead of \(texts.0)")
            }
        }
        for element in expected.values { note(.missing, element, wanted.text(of: element.datum)) }
        return differences.sorted { $0.description < $1.description }
    }

    private static func byName<Object>(_ objects: [Object], _ name: (Object) -> String) -> [String: Object] {
        Dictionary(objects.map { (name($0), $0) }) { first, _ in first }
    }

    private static func compare<Object>(
        _ wanted: [String: Object], _ found: [String: Object], name: (String) -> String,
        detail: (Object, Object) -> String?
    ) -> [NFTDifference] {
        Set(wanted.keys).union(found.keys).sorted().compactMap { key in
            guard let old = wanted[key] else { return NFTDifference(kind: .unexpected, object: name(key)) }
            guard let new = found[key] else { return NFTDifference(kind: .missing, object: name(key)) }
            return detail(old, new).map { NFTDifference(kind: .changed, object: name(key), detail: $0) }
        }
    }
}

/// The sets of a table that have no name of their own, so that rules are compared by what is in them.
private struct AnonymousSetContents {
    private var contents: [String: String] = [:]

    init(_ table: NFTKernelTable) {
        for set in table.sets where set.isAnonymous {
            let elements = set.elements.map { "\(set.text(ofKey: $0.key)) \($0.flags) \(set.text(of: $0.datum))" }
            contents[set.name] = "{\(set.keyType) \(elements.sorted().joined(separator: ", "))}"
        }
    }

    func named(_ expressions: [NFTExpression]) -> [NFTExpression] {
        expressions.map { expression in
            guard case .lookup(let set, let source, let destination, let isNot) = expression,
                let content = contents[set]
            else { return expression }
            return .lookup(set: content, source: source, destination: destination, isNot: isNot)
        }
    }
}

extension NFTKernelTable.Set {
    var isAnonymous: Bool { flags & UInt32(NFT_SET_ANONYMOUS.rawValue) != 0 }
    /// True if rules add elements to it.
    var isDynamic: Bool { flags & UInt32(NFT_SET_EVAL.rawValue) != 0 }

    func hasSameShape(as other: Self) -> Bool {
        // The kernel gives a length to verdicts, which nobody asks for.
        flags == other.flags && keyType == other.keyType && keyLength == other.keyLength
            && datumType == other.datumType
            && (datumLength == other.datumLength || datumType == NFT_DATA_VERDICT.rawValue)
            && (timeout ?? 0) == (other.timeout ?? 0) && objectType == other.objectType
    }
}
