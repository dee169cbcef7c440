import ArgumentParser
import BatchApplier
import EndpointWatcher
import Foundation
import Logging
import ProxyCore
import ServiceLifecycle
import SyncLoop
import UnixSignals

/// The daemon.
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Keeps this node's rules as the cluster asks for, until it is stopped.",
        discussion: """
            Follows the Services and EndpointSlices of a cluster, or manifests in a folder, and commits what they ask \
            for to this node's kernel. On SIGTERM it ends and leaves the rules in place. Needs root, or CAP_NET_ADMIN \
            in the node's network namespace. Status 0: ended by a signal, 1: failed, 2: bad input.
            """)

    @OptionGroup var source: SourceOptions

    @OptionGroup var settings: NodeSettings

    @OptionGroup var commit: CommitOptions

    @OptionGroup var nftables: NFTOptions

    @Option(
        help: ArgumentHelp(
            "In ipvs mode: for how long a TCP endpoint that goes may keep its connections, such as 15m; else to their end.",
            valueName: "duration"))
    var drainTimeout: DrainTimeout?

    @Option(
        help: ArgumentHelp(
            "Where `switchyard status` asks; empty for nowhere.", valueName: "path"))
    var statusSocket = StatusServer.defaultPath

    @Option(
        help: ArgumentHelp(
            "How much is logged, over the configuration's: 0, 1 to 4 with every sync, 5 and more with everything.",
            valueName: "level"))
    var verbosity: Int?

    func validate() throws {
        if nftables.layout == .kubeProxy {
            throw ValidationError(
                "--layout kube-proxy is not kept by the daemon: a change there costs the kernel time that grows with "
                    + "the square of the services; `switchyard apply` commits it once.")
        }
    }

    func run() async throws {
        let (configuration, diagnostics) = try settings.configuration()
        var logging = configuration
        if let verbosity { logging.loggingVerbosity = verbosity }
        let log = LogWriter(logging)
        let logger = log.logger("switchyard")
        for diagnostic in diagnostics { logger.log(diagnostic) }
        let node = NodeService(command: self, configuration: configuration, log: log, logger: logger)
        // What the group says of its services is of no use to an operator.
        var groupLogger = logger
        groupLogger.logLevel = .warning
        let group = ServiceGroup(
            configuration: .init(
                services: [
                    .init(
                        service: node, successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .gracefullyShutdownGroup)
                ],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: groupLogger))
        do {
            try await group.run()
            logger.info("stopped; the rules stay in place")
            log.flush()
        } catch let error as InputError {
            for diagnostic in error.diagnostics { logger.log(diagnostic) }
            log.flush()
            throw ExitStatus.badInput
        } catch {
            logger.critical("\(error)")
            log.flush()
            throw ExitStatus.failed
        }
    }
}

/// Runs the daemon by one configuration after the other: a changed file ends it, and begins it anew with the rules in
/// place. A configuration that this node cannot be served by is not taken over, as one with a fault is not.
private struct NodeService: ServiceLifecycle.Service {
    let command: Run
    let configuration: ProxyConfiguration
    let log: LogWriter
    let logger: Logger

    /// A daemon that can begin, and by what.
    private struct Prepared {
        var configuration: ProxyConfiguration
        var daemon: Daemon
        /// What is said of it where it begins.
        var facts: Logger.Metadata
    }

    func run() async throws {
        let follower = command.settings.config.map { ConfigurationFollower(path: $0, logger: logger) }
        var prepared: Prepared? = try await prepare(configuration, follower)
        while let current = prepared { prepared = try await run(current, follower) }
    }

    /// Returns what to go on with; nil at the end.
    private func run(_ current: Prepared, _ follower: ConfigurationFollower?) async throws -> Prepared? {
        logger.info("starting", metadata: current.facts)
        return try await cancelWhenGracefulShutdown {
            try await withThrowingTaskGroup(of: Prepared?.self) { group in
                group.addTask {
                    try await current.daemon.run()
                    return nil
                }
                if let follower {
                    group.addTask {
                        await follower.next(after: current.configuration) { configuration, diagnostics in
                            for diagnostic in diagnostics { logger.log(diagnostic) }
                            return try await prepare(configuration, follower)
                        }
                    }
                }
                defer { group.cancelAll() }
                let next = try await group.next() ?? nil
                if next != nil { logger.notice("the configuration has changed; beginning anew with it") }
                group.cancelAll()
                // A commit that has begun is ended first.
                while try await group.next() != nil {}
                return next
            }
        }
    }

    private func prepare(
        _ configuration: ProxyConfiguration, _ follower: ConfigurationFollower?
    ) async throws -> Prepared {
        let nodeName = command.settings.nodeName(configuration)
        let mode = command.settings.mode(configuration)
        var backend = try await backend(in: mode)
        let source = try command.source.makeSource(configuration, nodeName: nodeName, logger: logger)
        if case .iptables(let variant, let tools, _) = backend {
            // Nothing is made in the kernel before all else is known to be right.
            let accounting = AccountingChoice(command.commit.nfacct).make { logger.warning("\($0)") }
            backend = .iptables(variant, tools: tools, accounting: accounting)
        }
        var options = Daemon.Options(
            configuration: configuration, nodeName: nodeName,
            backend: backend, version: Switchyard.version)
        options.statusSocket = command.statusSocket.isEmpty ? nil : command.statusSocket
        options.logLinesDropped = { log.droppedLineCount }
        options.configurationProblem = { follower?.problem }
        options.nodeGrace = source.nodeGrace
        return Prepared(
            configuration: configuration,
            daemon: Daemon(options, source: source.objects, sourceDescription: source.description, logger: logger),
            facts: [
                "version": "\(Switchyard.version)", "mode": "\(mode.rawValue)",
                "node": "\(nodeName)", "source": "\(source.description)",
            ])
    }

    /// By what a mode is served on this node, without accounting; fails where it cannot be.
    private func backend(in mode: ProxyMode) async throws -> Daemon.Backend {
        if command.drainTimeout != nil, mode != .ipvs {
            logger.warning("--drain-timeout has no use in mode \(mode.rawValue): open connections are never ended")
        }
        for option in command.commit.useless(in: mode) {
            logger.warning("\(option.name) has no use: \(option.reason)")
        }
        if mode == .nftables {
            do throws(NFTablesError) {
                _ = try await NFTablesApplier().generation()
            } catch  where error.kind == .unsupported {
                throw error
            } catch {
                logger.warning("\(error)")
            }
            return .nftables(
                command.commit.family.onThisNode("served"), serviceCounters: command.nftables.serviceCounters)
        }
        if command.nftables.serviceCounters {
            logger.warning("--service-counters has no use in mode \(mode.rawValue): connections are not counted")
        }
        if mode == .ipvs {
            // Fails where there is no IPVS at all.
            do throws(IPVSError) {
                _ = try await IPVSApplier().list([])
            } catch  where error.kind == .unsupported {
                throw error
            } catch {
                logger.warning("\(error)")
            }
        }
        let variant = await IPTablesVariant.chosen(command.commit.variant)
        var tools: [IPTablesTools] = []
        var missing: IPTablesError?
        for family in command.commit.family.onThisNode("served") {
            do {
                tools.append(try await IPTablesTools.find(family, variant))
            } catch {
                missing = error
            }
        }
        if let missing {
            // A node without the programs of one family is served in the other, unless it was asked for by name.
            guard command.commit.family == .both, !tools.isEmpty else { throw missing }
            logger.warning("only one family is served: \(missing)")
        }
        guard mode == .iptables else {
            return .ipvs(variant, tools: tools, drainTimeout: command.drainTimeout?.duration)
        }
        logger.debug("the variant of iptables is chosen", metadata: ["variant": "\(variant.rawValue)"])
        return .iptables(variant, tools: tools, accounting: false)
    }
}

/// A duration as configurations spell it.
struct DrainTimeout: ExpressibleByArgument {
    var duration: Duration

    init?(argument: String) {
        guard let duration = Duration(goDuration: argument), duration >= .zero else { return nil }
        self.duration = duration
    }
}
