import ProxyCore

/// Which objects of a kind were reported, so that what a later list lacks can be reported as deleted.
struct KnownObjects: Sendable {
    private struct Entry {
        /// The list that the object was last seen in or after.
        var list: UInt32
        /// False for an object that cannot be used: nobody was told of it.
        var isReported: Bool
    }

    private var entries: [ObjectKey: Entry] = [:]
    /// The versions of objects whose faults were told.
    private var toldVersions: [ObjectKey: String] = [:]
    private var list: UInt32 = 0
    private var hasUnreadableItem = false
    private var pool = StringPool()

    var isEmpty: Bool { entries.isEmpty }

    /// Begins a list. What an earlier one has left unfinished counts for nothing.
    mutating func beginList() {
        list &+= 1
        hasUnreadableItem = false
    }

    /// Forgets the texts that objects share, so that those of objects long gone are not kept. Objects decoded later
    /// share among themselves.
    mutating func renewPool() {
        pool = StringPool()
    }

    /// Takes an object as it is now. What cannot be used is gone for everybody who was told of an earlier version.
    mutating func take(_ object: WireObject, _ diagnostics: inout [Diagnostic]) -> ObjectChange? {
        var faults: [InputFault] = []
        let change = object.change(&pool, &faults)
        let key = change?.key ?? object.key
        if !faults.isEmpty { tell(faults, of: object, key, &diagnostics) }
        guard let key else { return nil }
        if faults.isEmpty { toldVersions[key] = nil }
        let wasReported = entries[key]?.isReported ?? false
        entries[key] = Entry(list: list, isReported: change != nil)
        return change ?? (wasReported ? key.deletion : nil)
    }

    /// Takes the deletion of an object; nil if nobody was told of it.
    mutating func remove(_ object: WireObject) -> ObjectChange? {
        guard let key = object.key else { return nil }
        toldVersions[key] = nil
        return entries.removeValue(forKey: key)?.isReported == true ? key.deletion : nil
    }

    /// An item of the list at hand cannot be decoded: no one knows which object it is.
    mutating func takeUnreadableItem() {
        hasUnreadableItem = true
    }

    /// Ends a list: the deletions of what it lacks, ordered by name.
    ///
    /// None where an item could not be decoded: it may be any of those that seem to be missing.
    mutating func endList() -> [ObjectChange] {
        guard !hasUnreadableItem else { return [] }
        var deleted: [ObjectKey] = []
        for (key, entry) in entries where entry.list != list {
            toldVersions[key] = nil
            deleted.append(key)
        }
        return deleted.sorted().compactMap { entries.removeValue(forKey: $0)?.isReported == true ? $0.deletion : nil }
    }

    /// Tells faults, once for each version of an object.
    private mutating func tell(
        _ faults: [InputFault], of object: WireObject, _ key: ObjectKey?, _ diagnostics: inout [Diagnostic]
    ) {
        if let key, let version = object.metadata?.version, !version.isEmpty,
            toldVersions.updateValue(version, forKey: key) == version
        {
            return
        }
        diagnostics += faults.map {
            Diagnostic($0.severity, at: "", "\(object.subject): \($0.message(written: nil))")
        }
    }
}
