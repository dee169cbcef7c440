/// Elements in the order in which they came up, each key of a set once.
///
/// Two services that claim one address and port are a conflict that the API server does not prevent for external IPs:
/// the later has it.
struct KubeProxyElements {
    private struct Place: Hashable {
        var set: String
        var key: [NFTValue]
    }

    private var ordered: [NFTElement?] = []
    private var positions: [Place: Int] = [:]

    /// Every element that counts.
    var all: [NFTElement] { ordered.compactMap(\.self) }

    mutating func add(_ element: NFTElement) {
        let place = Place(set: element.set, key: element.key)
        if let index = positions[place] {
            // An element that says the same stays as it is, with its comment; another is a new one in its stead.
            guard ordered[index]?.datum != element.datum else { return }
            ordered[index] = nil
        }
        positions[place] = ordered.count
        ordered.append(element)
    }
}
