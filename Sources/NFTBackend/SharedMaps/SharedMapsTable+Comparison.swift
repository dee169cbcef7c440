public import ProxyCore

// What the kernel is compared with.
extension SharedMapsTable {
    public var servicePortCount: Int { entries.count }

    /// True if something waits to be committed, or to be acknowledged: then the kernel has something else.
    public var hasChanges: Bool { committedSettings != settings || !touched.isEmpty || pending != nil }

    /// True if `cleanUp` will have something to take away.
    public var hasLeftovers: Bool { !idle.isEmpty }

    /// What each service port's counter says in the table that the kernel has, in the order of the service ports.
    /// Without counters, or as long as one is not there, it is left out.
    public func counts(in found: NFTKernelTable) -> [(service: ServicePortName, counter: NFTCounter)] {
        guard settings.options.perServiceCounters else { return [] }
        let counters = Dictionary(found.counters.map { ($0.name, $0) }) { first, _ in first }
        return entries.keys.sorted().compactMap { name in
            counters[SharedMapsName.counter(name)].map { (name, $0) }
        }
    }

    /// The wanted table as the kernel lists it.
    ///
    /// - Parameter withElements: false leaves the elements out: the cost is then that of the chains, which do not grow
    ///   with the services, those with affinity apart, and that of the counters.
    public func kernelTable(withElements: Bool = true) -> NFTKernelTable {
        let (table, elements) = withElements ? ruleset() : (structure, [])
        return NFTKernelTable(compiling: table, elements: elements, counters: counterNames)
    }

    /// What differs in the table that the kernel has. What waits to be taken away may be there.
    ///
    /// - Parameter withElements: false where the elements have not been read.
    public func differences(from found: NFTKernelTable, withElements: Bool = true) -> [NFTDifference] {
        var found = found
        var idleChains: Set<String> = []
        var idleCounters: Set<String> = []
        for thing in idle.keys {
            switch thing {
            case .kind(let kind): if kinds[kind] == 0 { idleChains.insert(kind.name) }
            case .chain(let name): idleChains.insert(name)
            case .counter(let name): idleCounters.insert(name)
            }
        }
        found.chains.removeAll { idleChains.contains($0.name) }
        found.counters.removeAll { idleCounters.contains($0.name) }
        return NFTComparison.differences(
            wanted: kernelTable(withElements: withElements), found: found, withElements: withElements)
    }
}
