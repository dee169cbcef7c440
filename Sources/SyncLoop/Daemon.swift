public import BatchApplier
import ChainRenderer
import Foundation
public import Logging
public import ProxyCore
public import ServiceLifecycle

/// Keeps this node's rules as a source of objects asks for, until it is told to stop; the rules stay.
public struct Daemon: ServiceLifecycle.Service {
    public struct Options: Sendable {
        public var configuration: ProxyConfiguration
        public var nodeName: String
        public var variant: IPTablesVariant
        /// The tools of the families that are served.
        public var tools: [IPTablesTools]
        /// Whether rules count packets in the kernel's accounting objects.
        public var accounting = false
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
            configuration: ProxyConfiguration, nodeName: String, variant: IPTablesVariant, tools: [IPTablesTools],
            version: String
        ) {
            self.configuration = configuration
            self.nodeName = nodeName
            self.variant = variant
            self.tools = tools
            self.version = version
        }
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
        let model = ClusterModel(
            .init(
                configuration: options.configuration, mode: .iptables, nodeName: options.nodeName,
                nodeGrace: options.nodeGrace),
            logger: logger)
        let conntrack = ConntrackLoop(logger: logger) { await model.refreshed($0) }
        var loops: [FamilyLoop] = []
        for tools in options.tools {
            let loop = await familyLoop(tools, model, conntrack)
            await model.add(
                tools.family, facts: await HostFacts(ofThisNode: tools, options.access),
                options: .init(accounting: options.accounting, commentSlack: 100),
                wakeUp: { loop.wakeUp.raise() })
            loops.append(loop)
        }
        let reporter = StatusReporter(
            options: options, sourceDescription: sourceDescription, startedAt: Date(), model: model, loops: loops,
            conntrack: conntrack)
        let server = try options.statusSocket.map { path in
            try StatusServer(path: path, status: { await reporter.status() })
        }
        defer { server?.stop() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            let started = loops
            for loop in started { group.addTask { await loop.run() } }
            group.addTask { await conntrack.run() }
            group.addTask { await followHost(model) }
            group.addTask { try await source.run { await model.take($0) } }
            // Nobody ends but by being cancelled, or by a source that cannot be had.
            do {
                for try await () in group where Task.isCancelled { break }
            } catch is CancellationError {}
            group.cancelAll()
        }
    }

    private func familyLoop(_ tools: IPTablesTools, _ model: ClusterModel, _ conntrack: ConntrackLoop) async
        -> FamilyLoop
    {
        var logger = logger
        logger[metadataKey: "family"] = "\(tools.family.rawValue)"
        let applier = IPTablesApplier(tools: tools, access: options.access)
        let periods = options.configuration.iptables
        return FamilyLoop(
            family: tools.family, model: model, tables: applier, watch: tools.variant == .nft ? NFTablesWatch() : nil,
            variant: tools.variant, periods: .init(minSync: periods.minSyncPeriod, sync: periods.syncPeriod),
            isKernelBare: await applier.isBare(), logger: logger, didSync: { conntrack.rulesChanged($0) })
    }

    /// Looks from time to time at what of the host decides about rules: its addresses, a setting of the kernel.
    private func followHost(_ model: ClusterModel) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.hostPeriod)
            for tools in options.tools {
                await model.take(await HostFacts(ofThisNode: tools, options.access), of: tools.family)
            }
        }
    }

    /// An address that comes and goes matters to node ports alone, and listing them takes about a millisecond.
    private static let hostPeriod = Duration.seconds(10)
}
