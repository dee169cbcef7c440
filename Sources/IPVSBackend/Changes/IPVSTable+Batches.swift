public import ProxyCore

// What has to be done so that a kernel has what is wanted.
extension IPVSTable {
    public typealias Instant = ContinuousClock.Instant

    /// How often real servers that wait for the end of their connections are looked at.
    private static let drainPause = Duration.seconds(1)
    /// How long after a refusal another batch is worth while though nothing has changed.
    private static let refusalPause = Duration.seconds(30)

    /// True if the next batch is one of everything: `takeOver` is to say before it what everything is.
    public var isEverythingPending: Bool { !mirror.isSettled }

    /// True if something waits for the next batch.
    public var hasChanges: Bool { !touched.isEmpty }

    /// The virtual servers that have to be looked at before a batch: those with real servers that may be done, and those
    /// of which the kernel has refused something.
    public var serversToLookAt: Set<VirtualServer.Key> {
        var keys = Set(mirror.draining.keys)
        for case .server(let key) in mirror.refusals.map(\.part) { keys.insert(key) }
        return keys
    }

    /// After which time another batch may have something to do though nothing has changed; nil if none would.
    public var nextLook: Duration? {
        if !mirror.draining.isEmpty { return Self.drainPause }
        return mirror.refusals.isEmpty ? nil : Self.refusalPause
    }

    /// What the kernel did not do and is asked for again with every batch.
    public var refused: [IPVSRefusal] { mirror.refusals }

    /// How many real servers wait for the end of their connections.
    public var drainingCount: Int { mirror.draining.values.reduce(0) { $0 + $1.count } }

    /// Takes over what was seen in the kernel.
    public mutating func takeOver(_ finding: IPVSFinding, at now: Instant = .now) {
        switch finding {
        case .everything(let found):
            var known = KernelMirror(draining: mirror.draining)
            known.state.sets = found.sets
            known.state.addresses = found.addresses
            for (key, server) in found.servers {
                // One at an address that the node has lost is known by our memory alone.
                let isOurs = mirror.formerServers.contains(key) || isOurs(key, in: found)
                if isOurs || virtualServer(key) != nil { known.found(server, key, at: now) }
            }
            known.draining = known.draining.filter { known.state.servers[$0.key] != nil }
            mirror = known
        case .servers(let found):
            for (key, server) in found {
                mirror.found(server, key, at: now)
                touched.servers.insert(key)
            }
        }
    }

    /// What is to be done now, or nil if nothing is. From then on the table takes it that the kernel has done it all,
    /// unless it is told otherwise.
    ///
    /// A TCP endpoint that goes is given weight 0 and keeps its connections; once it was found with weight 0 and
    /// without connections it is deleted. Its virtual server stays until then, and so does the address.
    public mutating func nextBatch(at now: Instant = .now) -> IPVSBatch? {
        var batch = IPVSBatch(family: settings.node.family)
        let isFull = isEverythingPending
        for refusal in mirror.refusals { touched.note(refusal.part) }
        mirror.refusals = []
        if isFull {
            batch.timeouts = settings.timeouts
            touched.servers = Set(virtualServers.keys).union(mirror.state.servers.keys)
            touched.addresses = Set(addresses).union(mirror.state.addresses ?? [])
            touched.sets = Set(IPSet.allCases)
        }
        for key in touched.servers { settle(key, at: now, &batch) }
        let leaving = mirror.draining.keys.filter { virtualServer($0) == nil }
        settleAddresses(leaving, &batch)
        for set in touched.sets { settle(set, leaving, &batch) }
        for (set, entries) in touched.entries where !touched.sets.contains(set) {
            settle(entries, of: set, leaving, &batch)
        }
        touched = TouchedParts()
        let rules = rules()
        if rules != mirror.rules { batch.rules = rules }
        mirror.rules = rules
        return batch.isEmpty ? nil : batch
    }

    /// The kernel has done all of the last batch but this.
    public mutating func didCommit(without refusals: [IPVSRefusal] = []) {
        mirror.isSettled = true
        mirror.refusals = refusals
        for refusal in refusals {
            switch refusal.part {
            case .set(let set):
                mirror.state.sets[set] = nil
                mirror.rules = mirror.rules?.leavingOut(sets: [set.name(settings.node.family)])
            case .entry(let entry, let set): mirror.state.sets[set]?.entries.toggle(entry)
            case .address(let address): mirror.state.addresses?.toggle(address)
            // It is looked at before the next batch.
            case .server: continue
            }
        }
    }

    /// What the kernel has is not known any more.
    public mutating func didFail() { mirror.forget() }

    /// What has to be done to a kernel in which nothing was done before.
    public func batch(from found: IPVSKernelState) -> IPVSBatch {
        var table = self
        table.didFail()
        table.takeOver(.everything(found))
        return table.nextBatch() ?? IPVSBatch(family: settings.node.family)
    }

    /// True for a virtual server that this table may delete.
    func isOurs(_ key: VirtualServer.Key, in found: IPVSKernelState) -> Bool {
        found.isOurs(key, nodeAddresses: settings.nodeAddresses, excluding: settings.excludedRanges)
    }
}

extension Set {
    fileprivate mutating func toggle(_ member: Element) {
        if remove(member) == nil { insert(member) }
    }
}
