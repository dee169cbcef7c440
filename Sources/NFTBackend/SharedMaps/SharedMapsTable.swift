public import ProxyCore

/// The rules of one family in the layout of maps that all services share, kept from sync to sync.
///
/// The table is `switchyard`. Neither the number of its sets nor of the rules that look one up grows with the services:
/// a packet is sent by a verdict map to a chain for its kind of treatment, and that picks from a map with an element
/// per address, port and index. docs/nftables.md tells the rest.
///
/// Plans go in by `update`, transactions come out by `nextTransaction` and `cleanUp`; each is followed by `didCommit`
/// or `didFail` before another is asked for. Plans may be updated in between.
public struct SharedMapsTable: Sendable {
    public struct Options: Hashable, Sendable {
        /// Counts the first packets of the connections to each service port, by its addresses or by its node port, in
        /// a counter of its own.
        public var perServiceCounters: Bool

        public init(perServiceCounters: Bool = false) {
            self.perServiceCounters = perServiceCounters
        }
    }

    /// What is in the kernel only as long as a service port needs it.
    enum OnDemand: Hashable {
        case kind(TreatmentKind)
        case chain(String)
        case counter(String)
    }

    /// What was handed out and waits to be acknowledged.
    enum Pending {
        case sync(Sync)
        case cleanUp([OnDemand])

        struct Sync {
            var isFull: Bool
            /// True if it takes the place of a table that was read, piece by piece.
            var isReplacement = false
            /// What the transaction leaves unused, and what it uses again.
            var left: [OnDemand] = []
            var revived: [OnDemand] = []
        }
    }

    var settings: SharedMapsSettings
    /// The settings that the kernel has; nil as long as nothing of it is known.
    var committedSettings: SharedMapsSettings?
    var entries: [ServicePortName: ServiceEntry] = [:]
    /// What the kernel has of the service ports that differ from it; nil for those that it has not.
    var touched: [ServicePortName: ServiceEntry?] = [:]

    var claims = Claims<Door>()
    var kinds = UseCounts<TreatmentKind>()
    var clusterIPs = UseCounts<IPAddress>()
    var hairpins = UseCounts<Hairpin>()
    var ids = AffinityIDSource()

    /// What is in the kernel, of which something is to go on; nil where nothing is.
    struct Predecessor {
        var table: NFTKernelTable
        /// True if what clients are remembered for goes on too.
        var keepsClients: Bool
    }

    var predecessor: Predecessor?
    /// True once the kernel has refused to have a table replaced piece by piece.
    var isReplacementRefused = false
    /// Unused since then.
    var idle: [OnDemand: ContinuousClock.Instant] = [:]
    var pending: Pending?
    var lastCommit: ContinuousClock.Instant?

    /// - Parameter serviceRanges: the cluster's ranges of cluster IPs; those of the other family do not matter.
    public init(node: NodePlan, serviceRanges: [CIDR], options: Options = Options()) {
        settings = SharedMapsSettings(node, serviceRanges: serviceRanges, options: options)
    }

    // MARK: - What is wanted

    /// The next transaction, which is of everything, takes the place of this table, and what clients are remembered for
    /// goes on, as counters do. To be called when all plans are there; of the elements only those of `setsTakenOver`
    /// need have been read.
    public mutating func takeOver(_ found: NFTKernelTable) {
        guard committedSettings == nil, pending == nil else { return }
        predecessor = Predecessor(table: found, keepsClients: true)
        adoptIDs(from: found)
    }

    /// Takes another plan of the node. Plans of services that change with it are updated apart.
    public mutating func update(_ node: NodePlan, serviceRanges: [CIDR]) {
        settings = SharedMapsSettings(node, serviceRanges: serviceRanges, options: settings.options)
    }

    public mutating func update(_ changes: PlanTable.Changes) {
        for name in changes.removed { replace(name, by: nil) }
        for plan in changes.changed { replace(plan.name, by: plan) }
        if ids.isExhausted { renumber() }
    }

    private mutating func replace(_ name: ServicePortName, by plan: ServicePlan?) {
        let old = entries[name]
        guard old?.plan != plan else { return }
        // Where nothing is known of the kernel, everything is written anyway.
        if committedSettings != nil, touched[name] == nil { touched[name] = .some(old) }
        if let old {
            for door in old.doorKeys { claims.remove(name, from: door) }
            count(old, -1)
        }
        guard let plan else {
            if let old { ids.giveBack(old) }
            entries[name] = nil
            return
        }
        let entry = ServiceEntry(plan: plan, ids: ids.ids(of: plan, replacing: old, at: lastCommit))
        for door in entry.doorKeys { claims.add(name, to: door) }
        count(entry, 1)
        entries[name] = entry
    }

    private mutating func count(_ entry: ServiceEntry, _ times: Int) {
        kinds.add(entry.kinds, times)
        clusterIPs.add([entry.plan.clusterIP], times)
        hairpins.add(entry.hairpins, times)
    }

    /// Gives all ids anew. Clients are forgotten with the table that goes.
    mutating func renumber() {
        predecessor?.keepsClients = false
        ids.forgetAll()
        for name in entries.keys.sorted() {
            guard let entry = entries[name] else { continue }
            entries[name] = ServiceEntry(plan: entry.plan, ids: ids.ids(of: entry.plan, replacing: nil, at: nil))
        }
        committedSettings = nil
        touched.removeAll()
    }

    // MARK: - What became of a transaction

    /// The kernel has acknowledged the transaction that was asked for last.
    public mutating func didCommit(at now: ContinuousClock.Instant) {
        lastCommit = now
        isReplacementRefused = false
        switch pending {
        case .sync(let sync):
            if sync.isFull { idle.removeAll() }
            for thing in sync.revived { idle[thing] = nil }
            for thing in sync.left { idle[thing] = now }
            ids.didCommit(at: now)
        case .cleanUp(let things): for thing in things { idle[thing] = nil }
        case nil: break
        }
        pending = nil
    }

    /// The kernel refused it, or nothing is known: everything is written anew.
    public mutating func didFail() {
        if case .sync(let sync) = pending, sync.isReplacement { isReplacementRefused = true }
        pending = nil
        committedSettings = nil
        touched.removeAll()
        idle.removeAll()
    }
}
