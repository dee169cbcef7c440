/// A set as the kernel has it, whoever made it, without its entries.
public struct IPSetHeader: Hashable, Sendable {
    public var name: String
    /// Such as `hash:ip,port`.
    public var type: String
    /// Nil for sets that have none, such as those of ports.
    public var family: IPFamily?
    /// The most entries that it takes; nil for sets that have no such number.
    public var maximumSize: Int?
    /// The first and the last port of a set of ports.
    public var ports: ClosedRange<UInt16>?
    /// Seconds after which entries go by themselves; nil where they stay.
    public var timeout: Int?
    /// How many rules and other sets use it. One that is used cannot be destroyed.
    public var references: Int
    /// Nil where the kernel does not say (before 4.9).
    public var entryCount: Int?

    public init(
        name: String, type: String, family: IPFamily?, maximumSize: Int? = nil, ports: ClosedRange<UInt16>? = nil,
        timeout: Int? = nil, references: Int = 0, entryCount: Int? = nil
    ) {
        self.name = name
        self.type = type
        self.family = family
        self.maximumSize = maximumSize
        self.ports = ports
        self.timeout = timeout
        self.references = references
        self.entryCount = entryCount
    }

    /// True if the kernel would say of such a set that it exists already: one that is not has to be made anew, and
    /// swapped with this one where rules use it.
    public func isSuitable(for kind: IPSet.Kind, _ family: IPFamily) -> Bool {
        guard type == kind.rawValue, timeout == nil else { return false }
        return kind == .ports
            ? ports == 0...UInt16.max : self.family == family && maximumSize == IPSet.size
    }
}

/// What is in a set.
public struct FoundIPSet: Hashable, Sendable {
    public var header: IPSetHeader
    public var entries: Set<IPSetEntry>
    /// How many entries are of no kind that we write: with a timeout, an exception, another protocol. To be rid of them
    /// the set is flushed.
    public var unknownEntryCount: Int

    public init(header: IPSetHeader, entries: Set<IPSetEntry> = [], unknownEntryCount: Int = 0) {
        self.header = header
        self.entries = entries
        self.unknownEntryCount = unknownEntryCount
    }

    /// One of ours as it is made.
    public init(_ set: IPSet, _ family: IPFamily, entries: Set<IPSetEntry> = []) {
        let isOfPorts = set.kind == .ports
        let header = IPSetHeader(
            name: set.name(family), type: set.kind.rawValue, family: isOfPorts ? nil : family,
            maximumSize: isOfPorts ? nil : IPSet.size, ports: isOfPorts ? 0...UInt16.max : nil)
        self.init(header: header, entries: entries)
    }
}
