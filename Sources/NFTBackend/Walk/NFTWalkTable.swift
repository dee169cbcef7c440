import CNftnl
import ProxyCore

/// A table made ready for walks: chains by name, sets by key.
struct NFTWalkTable: Sendable {
    let identity: NFTTable.Identity
    let chains: [NFTKernelTable.Chain]
    private let places: [String: Int]
    private let sets: [String: NFTWalkSet]
    private let counters: [String: NFTCounter]

    init(_ table: NFTKernelTable) {
        identity = table.identity
        chains = table.chains
        places = Dictionary(table.chains.enumerated().map { ($1.name, $0) }) { first, _ in first }
        sets = Dictionary(table.sets.map { ($0.name, NFTWalkSet($0)) }) { first, _ in first }
        counters = Dictionary(table.counters.map { ($0.name, $0) }) { first, _ in first }
    }

    func counter(_ name: String) -> NFTCounter? { counters[name] }

    func chain(_ name: String) -> Int? { places[name] }

    func set(_ name: String) -> NFTWalkSet? { sets[name] }

    /// The base chains of a hook in the order in which the kernel calls them. Of equal priorities the one that was
    /// registered first is called first.
    func baseChains(at point: NFTChain.Hook.Point) -> [Int] {
        let found = chains.indices.filter { chains[$0].hook?.point == point }
        return found.sorted {
            (chains[$0].hook?.priority ?? 0, $0) < (chains[$1].hook?.priority ?? 0, $1)
        }
    }
}

/// A set whose elements are found by their bytes.
struct NFTWalkSet: Sendable {
    typealias Element = NFTKernelTable.Element

    private struct Bound {
        let key: [UInt8]
        let isEnd: Bool
        let element: Int
    }

    let kernel: NFTKernelTable.Set
    private var exact: [[UInt8]: Int] = [:]
    /// Of a set of intervals: in order; the last one that does not lie behind a key tells.
    private var bounds: [Bound] = []
    private var catchAll: Int?

    init(_ set: NFTKernelTable.Set) {
        kernel = set
        let isInterval = set.flags & NFT_SET_INTERVAL.rawValue != 0
        // The kernel takes no longer keys, and a lookup of one finds no register that long.
        let length = min(keyLength, KernelValue.maximumLength)
        for (index, element) in set.elements.enumerated() {
            if element.flags & NFT_SET_ELEM_CATCHALL.rawValue != 0 {
                catchAll = index
                continue
            }
            let key = Self.padded(element.key, to: length)
            if isInterval {
                let isEnd = element.flags & NFT_SET_ELEM_INTERVAL_END.rawValue != 0
                bounds.append(Bound(key: key, isEnd: isEnd, element: index))
            } else {
                exact[key] = index
            }
        }
        // Where one interval ends and the next begins at once, the beginning counts.
        bounds.sort {
            $0.key == $1.key ? $0.isEnd && !$1.isEnd : $0.key.lexicographicallyPrecedes($1.key)
        }
    }

    var keyLength: Int { Int(clamping: kernel.keyLength) }

    var datumLength: Int { Int(clamping: kernel.datumLength) }

    func element(_ key: [UInt8]) -> Element? {
        let index = exact[key] ?? interval(key) ?? catchAll
        return index.map { kernel.elements[$0] }
    }

    private func interval(_ key: [UInt8]) -> Int? {
        var low = 0
        var high = bounds.count
        while low < high {
            let middle = (low + high) / 2
            if key.lexicographicallyPrecedes(bounds[middle].key) { high = middle } else { low = middle + 1 }
        }
        guard low > 0, !bounds[low - 1].isEnd else { return nil }
        return bounds[low - 1].element
    }

    private static func padded(_ key: [UInt8], to length: Int) -> [UInt8] {
        key.count >= length ? Array(key.prefix(length)) : key + Array(repeating: 0, count: length - key.count)
    }
}
