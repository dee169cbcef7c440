import ProxyCore

extension SharedMapsTable {
    /// What must be committed so that the kernel has what is wanted; nil if it has. Follow it with `didCommit` or
    /// `didFail`.
    ///
    /// The cost follows the service ports that changed. Everything is written only the first time and after a failure.
    public mutating func nextTransaction() -> NFTTransaction? {
        let old = committedSettings
        let changed = touched
        committedSettings = settings
        touched.removeAll()
        ids.willCommit()
        guard let old, old.node.family == settings.node.family, old.options == settings.options else {
            let (transaction, isReplacement) = transaction(replacing: predecessor)
            pending = .sync(.init(isFull: true, isReplacement: isReplacement))
            predecessor = nil
            return transaction
        }
        var batch = SyncBatch()
        // The set of the addresses for node ports comes and goes with them.
        batch.addedSets = settings.sets.filter { !old.sets.contains($0) }
        batch.removedSets = old.sets.filter { !settings.sets.contains($0) }
        let names = changed.keys.sorted()
        collectKinds(names, changed, &batch)
        for name in names {
            collectOwn(changed[name] ?? nil, entries[name], old, &batch)
        }
        if old != settings { collectNode(old, changed, &batch) }
        collectDoors(names, changed, old, &batch)
        collectShared(names, changed, &batch)

        let steps = batch.steps
        let sync = Pending.Sync(isFull: false, left: batch.left, revived: batch.revived)
        pending = .sync(sync)
        guard steps.isEmpty else { return NFTTransaction(settings.identity, steps) }
        // What is left unused has been out of reach since the last commit at the latest.
        if let lastCommit { didCommit(at: lastCommit) }
        return nil
    }

    /// The chains that nothing has needed for a second or longer, taken away in a transaction of its own; nil if there
    /// are none. Follow it with `didCommit` or `didFail`.
    ///
    /// None are taken while something waits to be committed: a chain that is wanted again still has the rules that it
    /// had, and these lead to others. Not earlier, as a packet may be on its way through one, and as kernels before 6.2 count a chain as used for a
    /// while after the element that led to it.
    public mutating func cleanUp(now: ContinuousClock.Instant) -> NFTTransaction? {
        guard committedSettings != nil, touched.isEmpty, !idle.isEmpty else { return nil }
        var due: [(name: String, thing: OnDemand)] = []
        for (thing, since) in idle where since.duration(to: now) >= .seconds(1) {
            switch thing {
            case .kind(let kind): due.append((kind.name, thing))
            case .chain(let name), .counter(let name): due.append((name, thing))
            }
        }
        guard !due.isEmpty else { return nil }
        due.sort { $0.name < $1.name }
        var chains: [String] = []
        var counters: [String] = []
        for (name, thing) in due {
            if case .counter = thing { counters.append(name) } else { chains.append(name) }
        }
        pending = .cleanUp(due.map(\.thing))
        // Emptied first: some lead to others.
        return NFTTransaction(
            settings.identity,
            chains.map(NFTChange.flushChain) + chains.map(NFTChange.deleteChain)
                + counters.map(NFTChange.deleteCounter))
    }
}

/// The steps of a sync, in the order that the kernel needs: what is referred to comes before what refers to it.
private struct SyncBatch {
    var added: [NFTChain] = []
    /// Those that are there with other rules.
    var rewritten: [NFTChain] = []
    var counters: [String] = []
    var addedSets: [NFTSet] = []
    var removedSets: [NFTSet] = []
    var elements = ElementChanges()
    var left: [SharedMapsTable.OnDemand] = []
    var revived: [SharedMapsTable.OnDemand] = []

    var steps: [NFTChange] {
        var steps = added.map { NFTChange.addChain(NFTChain(name: $0.name, hook: $0.hook)) }
        steps += addedSets.map(NFTChange.addSet)
        steps += counters.map { .addCounter(NFTCounter(name: $0)) }
        for chain in added { steps += chain.rules.map { .addRule($0, chain: chain.name) } }
        for chain in rewritten {
            steps.append(.flushChain(chain.name))
            steps += chain.rules.map { .addRule($0, chain: chain.name) }
        }
        return steps + elements.steps + removedSets.map { .deleteSet($0.name) }
    }

    mutating func rewrite(_ old: NFTChain, as new: NFTChain) {
        if old.rules != new.rules { rewritten.append(new) }
    }
}

extension SharedMapsTable {
    fileprivate typealias Changed = [ServicePortName: ServiceEntry?]

    /// Kinds that come into use or fall out of it.
    private func collectKinds(_ names: [ServicePortName], _ changed: Changed, _ batch: inout SyncBatch) {
        var differences: [TreatmentKind: Int] = [:]
        var order: [TreatmentKind] = []
        for name in names {
            let old = (changed[name] ?? nil)?.kinds ?? []
            let new = entries[name]?.kinds ?? []
            guard old != new else { continue }
            for (list, times) in [(old, -1), (new, 1)] {
                for kind in list {
                    if differences[kind] == nil { order.append(kind) }
                    differences[kind, default: 0] += times
                }
            }
        }
        for kind in order {
            let wanted = kinds[kind]
            let before = wanted - (differences[kind] ?? 0)
            if before == 0, wanted > 0 {
                if idle[.kind(kind)] != nil {
                    batch.revived.append(.kind(kind))
                } else {
                    batch.added.append(kind.chain(settings.node))
                }
            } else if before > 0, wanted == 0 {
                batch.left.append(.kind(kind))
            }
        }
    }

    /// The chains, ids and counter of a service port's own.
    private func collectOwn(
        _ old: ServiceEntry?, _ new: ServiceEntry?, _ oldSettings: SharedMapsSettings, _ batch: inout SyncBatch
    ) {
        if settings.options.perServiceCounters, (old == nil) != (new == nil), let plan = (new ?? old)?.plan {
            let counter = SharedMapsName.counter(plan.name)
            if new == nil {
                batch.left.append(.counter(counter))
            } else if idle[.counter(counter)] != nil {
                batch.revived.append(.counter(counter))
            } else {
                batch.counters.append(counter)
            }
        }
        guard old?.ids != nil || new?.ids != nil else { return }
        let before = old?.chains(oldSettings.node) ?? []
        let after = new?.chains(settings.node) ?? []
        for chain in after {
            if let other = before.first(where: { $0.name == chain.name }) {
                batch.rewrite(other, as: chain)
            } else if idle[.chain(chain.name)] != nil {
                batch.revived.append(.chain(chain.name))
                batch.rewritten.append(chain)
            } else {
                batch.added.append(chain)
            }
        }
        for chain in before where !after.contains(where: { $0.name == chain.name }) {
            batch.left.append(.chain(chain.name))
        }
        batch.elements.replace(old?.affinityElements ?? [], by: new?.affinityElements ?? [])
    }

    /// What depends on the node: the chains that are always there, and of the others those with its mark, its ranges
    /// or its way to tell pods.
    private func collectNode(_ old: SharedMapsSettings, _ changed: Changed, _ batch: inout SyncBatch) {
        for (before, after) in zip(old.chains, settings.chains) { batch.rewrite(before, as: after) }
        let added = Set(batch.added.map(\.name))
        // Those that fall out of use by this very transaction too: they may be wanted again before they are taken away.
        let unused = (Array(idle.keys) + batch.left).compactMap { if case .kind(let kind) = $0 { kind } else { nil } }
        let known = Set(kinds.things).union(unused).map { ($0.name, $0) }.sorted { $0.0 < $1.0 }
        for (name, kind) in known where !added.contains(name) {
            batch.rewrite(kind.chain(old.node), as: kind.chain(settings.node))
        }
        for name in entries.keys.sorted() where changed[name] == nil {
            guard let entry = entries[name], entry.ids != nil else { continue }
            for (before, after) in zip(entry.chains(old.node), entry.chains(settings.node)) {
                batch.rewrite(before, as: after)
            }
        }
        batch.elements.replace(old.elements, by: settings.elements)
    }

    private struct DoorChange {
        var old: [(name: ServicePortName, content: DoorContent)] = []
        var new: [(name: ServicePortName, content: DoorContent)] = []
    }

    /// What stands under the doors of the changed service ports. Others may want them too.
    private func collectDoors(
        _ names: [ServicePortName], _ changed: Changed, _ old: SharedMapsSettings, _ batch: inout SyncBatch
    ) {
        var doors: [Door: DoorChange] = [:]
        var order: [Door] = []
        for name in names {
            for (door, content) in (changed[name] ?? nil)?.doors(old.options) ?? [] {
                if doors[door] == nil { order.append(door) }
                doors[door, default: DoorChange()].old.append((name, content))
            }
            for (door, content) in entries[name]?.doors(settings.options) ?? [] {
                if doors[door] == nil { order.append(door) }
                doors[door, default: DoorChange()].new.append((name, content))
            }
        }
        for door in order {
            guard var change = doors[door] else { continue }
            for name in claims[door] where changed[name] == nil {
                guard let content = content(of: door, name) else { continue }
                change.old.append((name, content))
                change.new.append((name, content))
            }
            DoorContent.change(Self.last(&change.old), Self.last(&change.new), at: door, &batch.elements)
        }
    }

    private static func last(_ contents: inout [(name: ServicePortName, content: DoorContent)]) -> DoorContent {
        if contents.count > 1 { contents.sort { $0.name < $1.name } }
        return contents.reduce(into: DoorContent()) { $0.override(by: $1.content) }
    }

    /// The elements that several service ports can have together.
    private func collectShared(_ names: [ServicePortName], _ changed: Changed, _ batch: inout SyncBatch) {
        var ips: [IPAddress] = []
        var endpoints: [Hairpin] = []
        var ipDifferences: [IPAddress: Int] = [:]
        var endpointDifferences: [Hairpin: Int] = [:]
        for name in names {
            for (entry, times) in [(changed[name] ?? nil, -1), (entries[name], 1)] {
                guard let entry else { continue }
                if ipDifferences[entry.plan.clusterIP] == nil { ips.append(entry.plan.clusterIP) }
                ipDifferences[entry.plan.clusterIP, default: 0] += times
                for hairpin in entry.hairpins {
                    if endpointDifferences[hairpin] == nil { endpoints.append(hairpin) }
                    endpointDifferences[hairpin, default: 0] += times
                }
            }
        }
        for ip in ips {
            let element = Self.element(ip)
            let before = clusterIPs[ip] - (ipDifferences[ip] ?? 0)
            batch.elements.replace(before > 0 ? element : nil, by: clusterIPs[ip] > 0 ? element : nil)
        }
        for hairpin in endpoints {
            let before = hairpins[hairpin] - (endpointDifferences[hairpin] ?? 0)
            batch.elements.replace(
                before > 0 ? hairpin.element : nil, by: hairpins[hairpin] > 0 ? hairpin.element : nil)
        }
    }
}
