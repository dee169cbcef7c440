public import ProxyCore

extension IPVSTable {
    /// How what a kernel was found to have differs from what is wanted: virtual servers by address, then sets, then
    /// addresses. The rules around them are compared as those of iptables mode are.
    ///
    /// What is being drained is no difference, nor is anything that is not ours. Each thing is looked at once.
    public func differences(from found: IPVSKernelState) -> [IPVSDifference] {
        var comparison = IPVSComparison(table: self, found: found)
        comparison.compareServers()
        comparison.compareSets()
        comparison.compareAddresses()
        return comparison.differences
    }
}

/// One comparison while it is made.
struct IPVSComparison {
    let table: IPVSTable
    let found: IPVSKernelState
    var differences: [IPVSDifference] = []
    /// Virtual servers that are not wanted and keep their connections.
    private(set) var draining: Set<VirtualServer.Key> = []

    private static let lineLimit = 6

    init(table: IPVSTable, found: IPVSKernelState) {
        self.table = table
        self.found = found
    }

    private var family: IPFamily { table.settings.node.family }

    // MARK: Virtual servers

    mutating func compareServers() {
        let wanted = table.virtualServers
        let isAnyThere = wanted.keys.contains { found.servers[$0] != nil }
        var all: [(key: VirtualServer.Key, differences: [IPVSDifference])] = []
        for (key, server) in wanted where isAnyThere || wanted.count == 1 {
            let differences = compare(key, server, found.servers[key])
            if !differences.isEmpty { all.append((key, differences)) }
        }
        for (key, server) in found.servers where wanted[key] == nil && table.isOurs(key, in: found) {
            let isDraining = { key.isDraining($0) }
            if !server.realServers.isEmpty, server.realServers.values.allSatisfy(isDraining) {
                draining.insert(key)
            } else {
                let realServers = server.realServers.sorted { $0.key < $1.key }
                all.append((key, [leftover(key, server, realServers)]))
            }
        }
        if !isAnyThere, wanted.count > 1 {
            differences.append(
                .init(.missing, .allServers, detail: "nothing of \(wanted.count) virtual servers is there"))
        }
        differences += all.sorted { $0.key < $1.key }.flatMap(\.differences)
    }

    private func leftover(
        _ key: VirtualServer.Key, _ server: FoundVirtualServer,
        _ realServers: [(key: RealServer, value: FoundRealServer)]
    ) -> IPVSDifference {
        let lines = [server.line(key)] + realServers.prefix(3).map { $0.value.line($0.key, of: key) }
        let more = realServers.count > 3 ? "; it has \(realServers.count) real servers" : ""
        return .init(
            .unexpected, .server(key), detail: "the virtual server is not wanted\(more)", found: lines)
    }

    private func compare(
        _ key: VirtualServer.Key, _ wanted: VirtualServer, _ found: FoundVirtualServer?
    ) -> [IPVSDifference] {
        guard let found else {
            let lines = [wanted.line(key)] + wanted.realServers.prefix(3).map { $0.line(of: key) }
            let more = wanted.realServers.count > 3 ? "; it has \(wanted.realServers.count) real servers" : ""
            return [
                .init(
                    .missing, .server(key), table.owner(of: key), detail: "the virtual server is not there\(more)",
                    wanted: lines)
            ]
        }
        var differences: [IPVSDifference] = []
        if !found.hasOptions(of: wanted, family) {
            differences.append(
                .init(
                    .changed, .server(key), table.owner(of: key), wanted: [wanted.line(key)],
                    found: [found.line(key)]))
        }
        return differences + compareRealServers(of: key, wanted.realServers, found.realServers)
    }

    private func compareRealServers(
        of key: VirtualServer.Key, _ wanted: [RealServer], _ found: [RealServer: FoundRealServer]
    ) -> [IPVSDifference] {
        var missing: [RealServer] = []
        var changed: [(RealServer, FoundRealServer)] = []
        for server in wanted {
            guard let known = found[server] else {
                missing.append(server)
                continue
            }
            if known.weight != 1 || known.forwarding != .masquerading { changed.append((server, known)) }
        }
        var unexpected: [(key: RealServer, value: FoundRealServer)] = []
        if found.count > wanted.count - missing.count {
            let wanted = Set(wanted)
            unexpected = found.filter { !wanted.contains($0.key) && !key.isDraining($0.value) }
                .sorted { $0.key < $1.key }
        }
        guard !missing.isEmpty || !changed.isEmpty || !unexpected.isEmpty else { return [] }
        let service = table.owner(of: key)
        var differences: [IPVSDifference] = []
        func tell(_ kind: IPVSDifference.Kind, _ wanted: [String], _ found: [String]) {
            let count = max(wanted.count, found.count)
            guard count > 0 else { return }
            differences.append(
                .init(
                    kind, .server(key), service, detail: count > Self.lineLimit ? "\(count) real servers" : nil,
                    wanted: Array(wanted.prefix(Self.lineLimit)), found: Array(found.prefix(Self.lineLimit))))
        }
        tell(.missing, missing.map { $0.line(of: key) }, [])
        tell(.changed, changed.map { $0.0.line(of: key) }, changed.map { $0.1.line($0.0, of: key) })
        tell(.unexpected, [], unexpected.map { $0.value.line($0.key, of: key) })
        return differences
    }

    // MARK: Sets

    mutating func compareSets() {
        guard !found.sets.isEmpty else {
            let detail = "none of the \(IPSet.allCases.count) sets is there"
            differences.append(.init(.missing, .allSets, detail: detail))
            return
        }
        for set in IPSet.allCases { compare(set) }
    }

    private mutating func compare(_ set: IPSet) {
        let place = IPVSDifference.Place.set(set, family)
        let wanted = table.entries(set)
        guard let found = found.sets[set] else {
            let more = wanted.isEmpty ? "" : "; it has \(Self.entryCount(wanted.count))"
            differences.append(
                .init(.missing, place, detail: "the set is not there\(more)", wanted: [set.line(family)]))
            return
        }
        guard found.header.isSuitable(for: set.kind, family) else {
            differences.append(.init(.changed, place, wanted: [set.line(family)], found: [found.header.line]))
            return
        }
        let missing = wanted.filter { !found.entries.contains($0) }
        for (service, entries) in byOwner(missing, { $0.entries[set] ?? [] }) {
            tell(.missing, place, service, entries.map { set.line($0, family) }.sorted(), Self.entryCount)
        }
        let kept = set.entriesKept(for: draining, onDevice: self.found.addresses ?? [])
        let unexpected = found.entries.filter { !table.wants($0, in: set) && !kept.contains($0) }
        tell(.unexpected, place, nil, unexpected.map { set.line($0, family) }.sorted(), Self.entryCount)
        if found.unknownEntryCount > 0 {
            let detail = "\(Self.entryCount(found.unknownEntryCount)) of a form that no service has"
            differences.append(.init(.unexpected, place, detail: detail))
        }
    }

    // MARK: Addresses

    mutating func compareAddresses() {
        let wanted = table.addresses
        guard let found = found.addresses else {
            let more = wanted.isEmpty ? "" : "; it has \(Self.addressCount(wanted.count))"
            differences.append(.init(.missing, .device, detail: "the device is not there\(more)"))
            return
        }
        let missing = wanted.filter { !found.contains($0) }
        for (service, addresses) in byOwner(missing, \.addresses) {
            tell(.missing, .device, service, addresses.map(\.description).sorted(), Self.addressCount)
        }
        let kept = Set(draining.map(\.address))
        let unexpected = found.filter { !table.wants($0) && !kept.contains($0) }
        tell(.unexpected, .device, nil, unexpected.map(\.description).sorted(), Self.addressCount)
    }

    // MARK: Telling

    private static func entryCount(_ entries: Int) -> String { entries == 1 ? "1 entry" : "\(entries) entries" }
    private static func addressCount(_ addresses: Int) -> String {
        addresses == 1 ? "1 address" : "\(addresses) addresses"
    }

    /// Appends one difference for lines that are missing or not wanted; none where there are none.
    private mutating func tell(
        _ kind: IPVSDifference.Kind, _ place: IPVSDifference.Place, _ service: ServicePortName?, _ lines: [String],
        _ count: (Int) -> String
    ) {
        guard !lines.isEmpty else { return }
        let detail = lines.count > Self.lineLimit ? count(lines.count) : nil
        let first = Array(lines.prefix(Self.lineLimit))
        differences.append(
            kind == .missing
                ? .init(kind, place, service, detail: detail, wanted: first)
                : .init(kind, place, service, detail: detail, found: first))
    }

    /// Missing things by the first service port that wants them, in the order of service ports.
    private func byOwner<Thing: Hashable>(
        _ missing: [Thing], _ wants: (ServiceFragment) -> Set<Thing>
    ) -> [(ServicePortName, [Thing])] {
        guard !missing.isEmpty else { return [] }
        let missing = Set(missing)
        var owners: [Thing: ServicePortName] = [:]
        for (name, fragment) in table.fragments {
            for thing in wants(fragment) where missing.contains(thing) {
                if let other = owners[thing], other < name { continue }
                owners[thing] = name
            }
        }
        return Dictionary(grouping: owners, by: \.value).map { ($0, $1.map(\.key)) }.sorted { $0.0 < $1.0 }
    }
}

extension VirtualServer.Key {
    /// True for a real server that is not wanted if it only keeps its connections. What is not TCP has none to be
    /// ended.
    fileprivate func isDraining(_ server: FoundRealServer) -> Bool { `protocol` == .tcp && server.weight == 0 }

    fileprivate static func < (left: Self, right: Self) -> Bool {
        if left.address != right.address { return left.address.precedes(right.address) }
        return (left.port, left.protocol) < (right.port, right.protocol)
    }
}

extension RealServer {
    fileprivate static func < (left: Self, right: Self) -> Bool {
        left.address == right.address ? left.port < right.port : left.address.precedes(right.address)
    }
}

extension IPAddress {
    fileprivate func precedes(_ other: IPAddress) -> Bool { (high, low) < (other.high, other.low) }
}
