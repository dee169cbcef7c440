public import BatchApplier
import ChainRenderer
import Foundation
public import Logging
import NFTBackend
public import ProxyCore
public import ServiceLifecycle

/// Keeps this node's rules as a source of objects asks for, until it is told to stop; the rules stay.
public struct Daemon: ServiceLifecycle.Service {
    public struct Options: Sendable {
        public var configuration: ProxyConfiguration
        public var nodeName: String
        public var backend: Backend
        /// How long the first sync waits for a Node object that may still come.
        public var nodeGrace = Duration.seconds(30)
        /// Where the status can be asked for; nil for nowhere.
        public var statusSocket: String?
        public var version: String
        public var access = NodeAccess()
        /// Lines of the log that were lost so far.
        public var logLinesDropped: @Sendable () -> Int = { 0 }
        /// Why the configuration as it stands in its file is not in force; nil if it is.
        public var configurationProblem: @Sendable () -> String? = { nil }

        public init(
            configuration: ProxyConfiguration, nodeName: String, backend: Backend, version: String
        ) {
            self.configuration = configuration
            self.nodeName = nodeName
            self.backend = backend
            self.version = version
        }
    }

    /// By what the kernel is told.
    public enum Backend: Sendable {
        /// - Parameters:
        ///   - tools: those of the families that are served.
        ///   - accounting: whether rules count packets in the kernel's accounting objects.
        case iptables(IPTablesVariant, tools: [IPTablesTools], accounting: Bool)
        /// - Parameter serviceCounters: whether the connections to each service port are counted.
        case nftables([IPFamily], serviceCounters: Bool)
        /// - Parameters:
        ///   - tools: those of the families that are served.
        ///   - drainTimeout: after which time an endpoint that goes is deleted though it has connections; nil waits for
        ///     their end.
        case ipvs(IPTablesVariant, tools: [IPTablesTools], drainTimeout: Duration?)
    }

    private let options: Options
    private let source: any ObjectSource
    private let sourceDescription: String
    private let logger: Logger

    /// - Parameter sourceDescription: names the source in the status, such as `manifests in /etc/switchyard`.
    public init(_ options: Options, source: any ObjectSource, sourceDescription: String, logger: Logger) {
        self.options = options
        self.source = source
        self.sourceDescription = sourceDescription
        self.logger = logger
    }

    /// Runs until the task is cancelled or the group that it is in shuts down. Throws what keeps it from working at
    /// all, such as a source that cannot be read.
    public func run() async throws {
        try await cancelWhenGracefulShutdown { try await self.runUntilCancelled() }
    }

    private func runUntilCancelled() async throws {
        switch options.backend {
        case .iptables(let variant, let tools, let accounting):
            let model: ClusterModel<IPTablesRenderer> = model(.iptables)
            var families: [ServedFamily<IPTablesKernel>] = []
            for tools in tools { families.append(await family(tools, variant, accounting, model)) }
            try await run(model, families, variant)
        case .nftables(let families, let serviceCounters):
            let model: ClusterModel<NFTablesRenderer> = model(.nftables)
            var served: [ServedFamily<NFTablesKernel>] = []
            for family in families { served.append(await self.family(family, serviceCounters, model)) }
            try await run(model, served, nil)
        case .ipvs(let variant, let tools, let drainTimeout):
            let model: ClusterModel<IPVSRenderer> = model(.ipvs)
            try await run(model, tools.map { family($0, variant, drainTimeout, model) }, variant)
        }
    }

    private func model<Renderer: FamilyRenderer>(_ mode: ProxyMode) -> ClusterModel<Renderer> {
        ClusterModel(
            .init(
                configuration: options.configuration, mode: mode, nodeName: options.nodeName,
                nodeGrace: options.nodeGrace),
            logger: logger)
    }

    private func family(
        _ tools: IPTablesTools, _ variant: IPTablesVariant, _ accounting: Bool,
        _ model: ClusterModel<IPTablesRenderer>
    ) async -> ServedFamily<IPTablesKernel> {
        let applier = IPTablesApplier(tools: tools, access: options.access)
        let logger = logger(of: tools.family)
        let remains = remains(tools.family, .iptables(variant), logger)
        let kernel = IPTablesKernel(
            family: tools.family, tables: applier, watch: variant == .nft ? NFTablesWatch() : nil,
            isBare: await applier.isBare(), logger: logger,
            serviceChains: { await model.read(tools.family) { $0.serviceChainNames } ?? [] },
            didCommit: { await remains.committed(everything: $0) })
        let limit = variant.chainLimit
        let access = options.access
        return ServedFamily(
            family: tools.family, kernel: kernel, facts: { await HostFacts(ofThisNode: tools, access) },
            makeRules: { node, _ in
                IPTablesRenderer(
                    node: node, options: .init(accounting: accounting, commentSlack: 100), chainLimit: limit)
            }, remains: remains)
    }

    private func family(
        _ family: IPFamily, _ serviceCounters: Bool, _ model: ClusterModel<NFTablesRenderer>
    ) async -> ServedFamily<NFTablesKernel> {
        let access = options.access
        let applier = NFTablesApplier()
        let logger = logger(of: family)
        let remains = remains(family, .nftables, logger)
        let kernel = NFTablesKernel(
            family: family, tables: applier, logger: logger,
            committed: { await model.audit(family) },
            didCommit: { await remains.committed(everything: $0) })
        let counts = serviceCounters ? NFTablesCounts(family: family, model: model) : nil
        return ServedFamily(
            family: family, kernel: kernel, facts: { await HostFacts(ofThisNode: access) },
            makeRules: { node, _ in NFTablesRenderer(node: node, options: .init(perServiceCounters: serviceCounters)) },
            counts: { await counts?.read() }, remains: remains)
    }

    private func remains(_ family: IPFamily, _ serving: ModeRemains.Serving, _ logger: Logger) -> RemainsLoop {
        let remains = ModeRemains(
            serving, excluding: options.configuration.ipvs.excludeCIDRs, access: options.access)
        return RemainsLoop(
            removeRules: { await remains.removeRules(family) },
            retireVirtualServers: { await remains.retireVirtualServers(family) }, logger: logger)
    }

    private func family(
        _ tools: IPTablesTools, _ variant: IPTablesVariant, _ drainTimeout: Duration?,
        _ model: ClusterModel<IPVSRenderer>
    ) -> ServedFamily<IPVSKernel> {
        let (family, access) = (tools.family, options.access)
        let logger = logger(of: family)
        let remains = remains(family, .ipvs(variant), logger)
        let kernel = IPVSKernel(
            family: family, node: IPVSCommitter(tools: tools, access: access),
            observer: IPVSCommitter(tools: tools, access: access), logger: logger,
            serversToLookAt: { await model.read(family) { $0.serversToLookAt } ?? [] },
            clusterIPsElsewhere: { await model.read(family) { $0.clusterIPsElsewhere } ?? [:] },
            didCommit: { await remains.committed(everything: $0) })
        let configuration = options.configuration.ipvs
        return ServedFamily(
            family: family, kernel: kernel, facts: { await HostFacts(ofThisNode: tools, access) },
            makeRules: { IPVSRenderer(node: $0, $1, configuration, drainTimeout: drainTimeout) }, remains: remains)
    }

    private func logger(of family: IPFamily) -> Logger {
        var logger = logger
        logger[metadataKey: "family"] = "\(family.rawValue)"
        return logger
    }

    private func run<Kernel: FamilyKernel>(
        _ model: ClusterModel<Kernel.Renderer>, _ families: [ServedFamily<Kernel>], _ variant: IPTablesVariant?
    ) async throws {
        let conntrack = ConntrackLoop(logger: logger) { await model.refreshed($0) }
        let periods = options.configuration.syncPeriods(in: await model.mode)
        var loops: [FamilyLoop<Kernel>] = []
        for served in families {
            let loop = FamilyLoop(
                family: served.family, model: model, kernel: served.kernel, periods: periods,
                logger: logger(of: served.family), didSync: { conntrack.rulesChanged($0) })
            await model.add(
                served.family, facts: await served.facts(), makeRules: served.makeRules,
                wakeUp: { loop.wakeUp.raise() })
            loops.append(loop)
        }
        let started = loops
        let reporter = StatusReporter(
            options: options, mode: await model.mode, variant: variant, patience: periods.sync * 2,
            sourceDescription: sourceDescription, startedAt: Date(), source: { await model.source },
            families: zip(started, families).map { loop, served in
                {
                    var status = await loop.currentStatus()
                    status.services = await served.counts()
                    let leftovers = await served.remains?.failures ?? []
                    status.leftovers = leftovers.isEmpty ? nil : leftovers
                    return status
                }
            }, conntrack: conntrack)
        let server = try options.statusSocket.map { path in
            try StatusServer(path: path, status: { await reporter.status() })
        }
        defer { server?.stop() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for loop in started { group.addTask { await loop.run() } }
            group.addTask { await conntrack.run() }
            group.addTask { await followHost(model, families) }
            for served in families { group.addTask { await served.remains?.run() } }
            group.addTask { try await source.run { await model.take($0) } }
            // Nobody else ends but by being cancelled, or by a source that cannot be had.
            do {
                for try await () in group where Task.isCancelled { break }
            } catch is CancellationError {}
            group.cancelAll()
        }
    }

    /// Looks from time to time at what of the host decides about rules: its addresses, a setting of the kernel.
    private func followHost<Kernel: FamilyKernel>(
        _ model: ClusterModel<Kernel.Renderer>, _ families: [ServedFamily<Kernel>]
    ) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.hostPeriod)
            for served in families { await model.take(await served.facts(), of: served.family) }
        }
    }
}

/// A family, and what a mode serves it by.
private struct ServedFamily<Kernel: FamilyKernel>: Sendable {
    let family: IPFamily
    let kernel: Kernel
    /// What the host says of itself now.
    let facts: @Sendable () async -> HostFacts
    let makeRules: @Sendable (NodePlan, HostFacts) -> Kernel.Renderer
    /// What services' counters say now; nil where nothing is counted.
    var counts: @Sendable () async -> [DaemonStatus.ServiceCount]? = { nil }
    /// What takes away what other modes have left; nil where nobody does.
    var remains: RemainsLoop?
}

extension Daemon {
    /// An address that comes and goes matters to node ports alone, and listing them takes about a millisecond.
    private static let hostPeriod = Duration.seconds(10)
}

extension ProxyConfiguration {
    fileprivate func syncPeriods(in mode: ProxyMode) -> SyncSchedule.Periods {
        switch mode {
        case .iptables: .init(minSync: iptables.minSyncPeriod, sync: iptables.syncPeriod)
        case .ipvs: .init(minSync: ipvs.minSyncPeriod, sync: ipvs.syncPeriod)
        case .nftables: .init(minSync: nftables.minSyncPeriod, sync: nftables.syncPeriod)
        }
    }
}
