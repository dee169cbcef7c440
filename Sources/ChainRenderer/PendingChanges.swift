import ProxyCore

/// What differs between the fragments and what was last committed.
struct PendingChanges: Sendable {
    /// True until something was committed: then the rest says nothing.
    var isEverything = true
    var filter = false
    var top = false
    /// Service ports whose own chains have changed; they may be gone by now.
    var services: Set<ServicePortName> = []
    /// Committed chains that no fragment has any more.
    var staleChains: Set<String> = []

    var isEmpty: Bool { !isEverything && !filter && !top && services.isEmpty && staleChains.isEmpty }

    mutating func note(_ name: ServicePortName, from old: ServiceFragment?, to new: ServiceFragment?) {
        guard !isEverything else { return }
        if old?.filter ?? [] != new?.filter ?? [] { filter = true }
        if old?.top ?? [] != new?.top ?? [] { top = true }
        let wanted = Set(new?.chainNames ?? [])
        staleChains.formUnion(Set(old?.chainNames ?? []).subtracting(wanted))
        staleChains.subtract(wanted)
        if let new, old.map(new.hasSameChains) != true { services.insert(name) }
    }
}
