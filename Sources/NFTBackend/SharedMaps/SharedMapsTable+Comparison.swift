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
        differences(kernelTable(withElements: withElements), found, withElements)
    }

    private func differences(
        _ wanted: NFTKernelTable, _ found: NFTKernelTable, _ withElements: Bool
    ) -> [NFTDifference] {
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
        return NFTComparison.differences(wanted: wanted, found: found, withElements: withElements)
    }
}

// A comparison that keeps neither all wanted elements nor all of the kernel's: those of 10,000 services of 10 endpoints
// take 100 MB. What is listed is taken in twice: first all of it as digests, then what differs by these.
extension SharedMapsTable {
    /// The elements that must be looked at, by a listing that was taken in as digests.
    ///
    /// - Parameter limit: about how many elements may be chosen.
    public func differingElements(from found: NFTDumpDecoder, limit: Int) -> NFTElementSelection {
        let family = settings.identity.family
        var digests = NFTElementDigests()
        forEachElement { digests.add(.init($0, family), of: $0.set) }
        return digests.differing(from: found.digests, limit: limit)
    }

    /// What differs in the table that the kernel has, of whose elements only these were read.
    public func differences(from found: NFTKernelTable, in selection: NFTElementSelection) -> [NFTDifference] {
        let family = settings.identity.family
        var elements: [NFTElement] = []
        forEachElement {
            guard selection.contains(set: $0.set) else { return }
            if selection.contains(NFTKernelTable.Element($0, family).key, of: $0.set) { elements.append($0) }
        }
        var wanted = kernelTable(withElements: false)
        wanted.take(elements)
        let more = selection.incomplete.sorted().map {
            NFTDifference(kind: .changed, object: "set \($0)", detail: "more of its elements differ")
        }
        return differences(wanted, found, true) + more
    }
}
