import Glibc
public import ProxyCore
import SystemPackage

/// What ipvs mode, ours or a kube-proxy's, has in the kernel beside its rules, in one family.
///
/// Virtual servers and sets of others are not among it.
public struct IPVSRemains: Hashable, Sendable {
    public var family: IPFamily
    public var servers: [VirtualServer.Key: FoundVirtualServer] = [:]
    /// By their names, in the order of `IPSet`.
    public var sets: [String] = []
    /// Those of `kube-ipvs0`.
    public var addresses: Set<IPAddress> = []
    /// Those to which routes are lent while it is left; they may be gone already.
    public var lentAddresses: Set<IPAddress> = []
    /// True if `kube-ipvs0` is there.
    public var hasDevice = false
    /// True if the other family has addresses on it, which keep it.
    public var sharesDevice = false

    public init(family: IPFamily) {
        self.family = family
    }

    /// True if the device goes with the rest.
    public var takesDevice: Bool { hasDevice && !sharesDevice }
    public var isEmpty: Bool {
        servers.isEmpty && sets.isEmpty && addresses.isEmpty && lentAddresses.isEmpty && !takesDevice
    }

    /// Such as `2 virtual servers, 17 sets, 2 addresses and the device kube-ipvs0`.
    public var summary: String {
        var parts = [(servers.count, "virtual server"), (sets.count, "set")].filter { $0.0 > 0 }.map {
            $0.0.counted($0.1)
        }
        if !addresses.isEmpty { parts.append("\(addresses.count) address\(addresses.count == 1 ? "" : "es")") }
        let routes = lentAddresses.subtracting(addresses).count
        if routes > 0 { parts.append(routes.counted("route")) }
        if takesDevice { parts.append("the device \(ServiceDevice.kubeProxyName)") }
        guard let last = parts.popLast() else { return "nothing" }
        return parts.isEmpty ? last : "\(parts.joined(separator: ", ")) and \(last)"
    }

    /// How many connections of each virtual server are open; none where they were not counted.
    var openConnections: [VirtualServer.Key: Int] = [:]
    /// How many connections of the node itself are open from each address; none where they were not counted.
    var localConnections: [IPAddress: Int] = [:]

    /// What cannot go while there are open connections. A flow of UDP is none: its next datagram takes the way that the
    /// rules say then.
    var inUse: IPVSRemains {
        var kept = IPVSRemains(family: family)
        kept.servers = servers.filter { openConnections[$0.key, default: 0] > 0 }
        kept.openConnections = openConnections
        kept.localConnections = localConnections
        kept.addresses = addresses.intersection(kept.servers.keys.map(\.address) + localConnections.keys)
        // Virtual servers at the node's own addresses are known as ours by these.
        let hasNodeAddresses = kept.servers.keys.contains { !addresses.contains($0.address) }
        let names = IPSet.allCases.filter(\.namesServers).map { $0.name(family) }
        kept.sets = hasNodeAddresses ? sets.filter(names.contains) : []
        return kept
    }

    func subtracting(_ kept: IPVSRemains) -> IPVSRemains {
        var rest = self
        rest.servers = servers.filter { kept.servers[$0.key] == nil }
        rest.sets.removeAll(where: kept.sets.contains)
        rest.addresses.subtract(kept.addresses)
        rest.lentAddresses.subtract(kept.addresses)
        if !kept.addresses.isEmpty { rest.hasDevice = false }
        return rest
    }
}

/// Takes away what ipvs mode has left on a node that is served in another mode, or not at all.
///
/// A kernel without IPVS, sets or dummy devices has nothing of the kind, which is no error.
public struct IPVSCleaner: Sendable {
    private let servers = IPVSApplier()
    private let sets = IPSetApplier()
    private let device = ServiceDevice()
    private let excluded: [CIDR]

    /// - Parameter excluded: ranges in which every virtual server is another program's (`excludeCIDRs`).
    public init(excluding excluded: [CIDR] = []) {
        self.excluded = excluded
    }

    /// What became of what was there.
    public struct Report: Sendable {
        public var removed: IPVSRemains
        /// What has open connections and stays for them.
        public var kept: IPVSRemains
        /// A sentence for each thing that the kernel refused.
        public var failures: [String] = []

        /// How many connections what is kept is kept for.
        public var openConnections: Int {
            // What the node has opened through IPVS is counted there.
            let others = kept.localConnections.filter { address, _ in
                !kept.servers.keys.contains { $0.address == address }
            }
            return kept.openConnections.values.reduce(0, +) + others.values.reduce(0, +)
        }
    }

    /// Removes everything, connections and all.
    ///
    /// To be called when no rules of ipvs mode are there any more, as they use the sets.
    public func remove(_ family: IPFamily) async throws(IPVSError) -> Report {
        try await remove(try await find(family), keeping: IPVSRemains(family: family))
    }

    /// Removes what has no open connections; all the rest is to get no new ones, and is removed by a later call.
    ///
    /// To be called when the rules of another mode are in place: those take the packets of new connections before IPVS
    /// sees them. What IPVS holds open goes on for as long as its virtual server, its real server and, for the
    /// connections of the node itself, the address of the device are there; it ends when they are deleted.
    ///
    /// - Parameter patience: how long connections that are short are given to end.
    public func retire(_ family: IPFamily, patience: Duration = .seconds(5)) async throws(IPVSError) -> Report {
        var found = try await find(family)
        if let source = await ownAddress(found) { try? await device.lend(source, to: Array(found.addresses)) }
        let clock = ContinuousClock()
        let end = clock.now + patience
        while !(found.servers.isEmpty && found.addresses.isEmpty) {
            found.openConnections = try openConnections(of: found)
            found.localConnections = localConnections(of: found)
            if found.inUse.isEmpty || clock.now >= end || Task.isCancelled { break }
            try? await Task.sleep(for: Self.lookingPeriod)
        }
        let kept = found.inUse
        let report = try await remove(found, keeping: kept)
        let changes = kept.servers.flatMap { key, server in
            server.realServers.filter { $0.value.weight != 0 }.map {
                IPVSChange.changeRealServer($0.key, weight: 0, of: key)
            }
        }
        // One that is gone meanwhile has no connections.
        _ = try await servers.perform(changes)
        return report
    }

    /// Where connections end while the table is read, others of it may be passed over: so it is read twice.
    private func openConnections(of remains: IPVSRemains) throws(IPVSError) -> [VirtualServer.Key: Int] {
        var counts: [VirtualServer.Key: Int] = [:]
        for _ in 0..<2 {
            var connections = IPVSConnections()
            do throws(Errno) {
                try connections.read()
            } catch {
                // Where there is no table there is no connection.
                guard error != .noSuchFileOrDirectory else { return [:] }
                throw IPVSError(.unknown, "cannot read the connections of IPVS: \(error)", error)
            }
            counts.merge(connections.open.mapValues { $0.values.reduce(0, +) }, uniquingKeysWith: max)
        }
        return counts.filter { remains.servers[$0.key] != nil }
    }

    private func localConnections(of remains: IPVSRemains) -> [IPAddress: Int] {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].compactMap(readSmallFile)
        let open = tables.map(LocalSockets.open).reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
        return open.filter { remains.addresses.contains($0.key) }
    }

    /// An address that the node has without `kube-ipvs0`, if it can be the one from which it sends to an endpoint: the
    /// answers come back to that.
    private func ownAddress(_ found: IPVSRemains) async -> IPAddress? {
        let own = NodeFacts.interfaceAddresses().filter {
            $0.interface != device.name && $0.address.family == found.family && !$0.address.isLoopback
                && !(found.family == .ipv6 && $0.address.isLinkLocal)
        }.map(\.address)
        let endpoints = found.servers.values.flatMap { $0.realServers.keys.map(\.address) }
        guard let endpoint = endpoints.first(where: { !own.contains($0) }),
            let source = await device.source(towards: endpoint), own.contains(source)
        else { return own.first }
        return source
    }

    private static let lookingPeriod = Duration.milliseconds(200)
}

// MARK: - Looking

extension IPVSCleaner {
    /// What there is. Loads no module of the kernel.
    public func find(_ family: IPFamily) async throws(IPVSError) -> IPVSRemains {
        var remains = IPVSRemains(family: family)
        var state = IPVSKernelState()
        if try await device.exists() {
            state.addresses = try await device.list(family)
            remains.hasDevice = true
            remains.sharesDevice = try await isDeviceShared(with: family)
        }
        remains.addresses = state.addresses ?? []
        remains.lentAddresses = try await device.lentAddresses(family)
        if !Self.lacks("/sys/module/ip_set", of: "/sys/module") {
            let headers = try await unlessUnsupported([:]) { () throws(IPVSError) in try await sets.headers() }
            let aside = IPSet.nameAside(family)
            if headers[aside] != nil { remains.sets.append(aside) }
            for set in IPSet.allCases where headers[set.name(family)] != nil {
                remains.sets.append(set.name(family))
                if set.namesServers { state.sets[set] = try await sets.list(set.name(family)) }
            }
        }
        guard !Self.lacks("/proc/net/ip_vs", of: "/proc/net") else { return remains }
        let nodeAddresses = Set(
            NodeFacts.interfaceAddresses().filter { $0.interface != device.name }.map(\.address))
        state.servers = try await unlessUnsupported([:]) { () throws(IPVSError) in try await servers.list(family) }
        remains.servers = state.servers.filter {
            state.isOurs($0.key, nodeAddresses: nodeAddresses, excluding: excluded)
        }
        return remains
    }

    private func isDeviceShared(with family: IPFamily) async throws(IPVSError) -> Bool {
        !(try await device.list(family == .ipv4 ? .ipv6 : .ipv4)).isEmpty
    }

    /// True where a part of the kernel is not there. To ask the kernel itself would load its module.
    private static func lacks(_ path: String, of directory: String) -> Bool {
        access(path, F_OK) != 0 && access(directory, F_OK) == 0
    }

    private func unlessUnsupported<Value>(
        _ nothing: Value, _ body: () async throws(IPVSError) -> Value
    ) async throws(IPVSError) -> Value {
        do throws(IPVSError) {
            return try await body()
        } catch  where error.kind == .unsupported && ![.notPermitted, .permissionDenied].contains(error.errno) {
            return nothing
        }
    }
}

// MARK: - Removing

extension IPVSCleaner {
    private func remove(
        _ found: IPVSRemains, keeping kept: IPVSRemains
    ) async throws(IPVSError) -> Report {
        var report = Report(removed: found.subtracting(kept), kept: kept)
        let keys = Array(report.removed.servers.keys)
        for failure in try await servers.perform(keys.map(IPVSChange.deleteServer)) {
            // One that is gone by itself is no failure.
            guard failure.error.errno != .noSuchProcess else { continue }
            report.removed.servers[keys[failure.index]] = nil
            report.failures.append(failure.error.sentence)
        }
        if !report.removed.addresses.isEmpty {
            let addresses = Array(report.removed.addresses)
            for failure in try await device.delete(addresses) {
                report.removed.addresses.remove(addresses[failure.index])
                report.failures.append(failure.error.sentence)
            }
        }
        let left = report.removed.lentAddresses.subtracting(report.removed.addresses)
        try await device.deleteRoutes(to: Array(left))
        if report.removed.hasDevice {
            // Where both families are cleaned beside each other, each finds the addresses of the other; the last to
            // delete its own finds none.
            report.removed.sharesDevice = try await isDeviceShared(with: found.family)
            if report.removed.takesDevice { try await device.remove() }
        }
        await destroySets(&report)
        return report
    }

    /// A set that a rule or a set of another program uses stays as it is, with its entries.
    private func destroySets(_ report: inout Report) async {
        let wanted = report.removed.sets
        report.removed.sets = []
        var refused: [(name: String, error: IPVSError)] = []
        for attempt in 0..<Self.destructionAttempts {
            let rest = attempt == 0 ? wanted : refused.map(\.name)
            refused = []
            for name in rest {
                do throws(IPVSError) {
                    try await sets.destroy(name)
                    report.removed.sets.append(name)
                } catch {
                    refused.append((name, error))
                }
            }
            if refused.isEmpty { return }
            // The kernel lets go of what rules of nf_tables have used a moment after they are deleted. Whoever is called
            // off says nothing: a later call finds them again.
            do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
        }
        report.failures += refused.sorted { $0.name < $1.name }.map(\.error.sentence)
    }

    private static let destructionAttempts = 20
}
