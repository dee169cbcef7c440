public import ArgumentParser
import BatchApplier
import ChainRenderer
import EndpointWatcher
public import ProxyCore

/// Where the cluster and the configuration come from.
struct ClusterOptions: ParsableArguments {
    @Option(
        name: .customShort("f"), parsing: .upToNextOption,
        help: ArgumentHelp(
            "Files of Services, EndpointSlices, Nodes and ServiceCIDRs, in YAML or JSON; - is standard input.",
            valueName: "file"))
    var files: [String] = []

    @OptionGroup var source: SourceOptions

    @OptionGroup var settings: NodeSettings

    @Flag(help: "Refuses the input where it would otherwise cost a port, an endpoint or a source range.")
    var strict = false

    /// True if an option names where objects come from.
    var isGiven: Bool { !files.isEmpty || source.isGiven }
}

extension ProxyMode: ExpressibleByArgument {}
extension CIDR: ExpressibleByArgument {}

/// A cluster as one node sees it: what the options led to.
struct ClusterInput {
    let configuration: ProxyConfiguration
    let mode: ProxyMode
    let nodeName: String
    let node: Node?
    let state: ClusterState

    /// Reads everything and reports every diagnostic.
    init(_ options: ClusterOptions) async throws(InputError) {
        var diagnostics: [Diagnostic] = []
        try await self.init(options, &diagnostics)
        Console.report(diagnostics)
    }

    private init(_ options: ClusterOptions, _ diagnostics: inout [Diagnostic]) async throws(InputError) {
        var refused: [Diagnostic] = []
        var configuration = ProxyConfiguration()
        var manifests = Manifests()
        do {
            let read = try options.settings.configuration()
            configuration = read.0
            diagnostics += read.1
        } catch { refused += error.diagnostics }
        do {
            manifests = try await options.objects(configuration)
            diagnostics += manifests.diagnostics
        } catch { refused += error.diagnostics }
        guard refused.isEmpty else { throw InputError(diagnostics + refused) }

        self.configuration = configuration
        mode = options.settings.mode(configuration)
        nodeName = options.settings.nodeName(configuration)
        var state = ClusterState()
        for change in manifests.changes { state.apply(change) }
        self.state = state
        node = state.nodes[nodeName]
        if state.nodes.isEmpty {
            diagnostics.append(
                Diagnostic(
                    .warning, at: "",
                    "no Node is given: the node's address is taken to be loopback, and it has no zone and no pod CIDRs")
            )
        } else if node == nil {
            let names = state.nodes.keys.sorted().joined(separator: ", ")
            throw InputError(
                diagnostics + [
                    Diagnostic(
                        .error, at: "",
                        "node name \"\(nodeName)\": none of the given Nodes has it (\(names)); "
                            + "name one with --hostname-override or hostnameOverride")
                ])
        }
    }

    /// What a family is planned by in a mode, from what is known of the node.
    func nodePlan(_ mode: ProxyMode, _ family: IPFamily, facts: HostFacts) -> NodePlan {
        NodePlan(configuration, mode: mode, family: family, nodeName: nodeName, node: node, facts: facts)
    }

    /// The plans of a family in a mode.
    func plans(_ mode: ProxyMode, _ family: IPFamily, facts: HostFacts) -> (node: NodePlan, plans: PlanTable) {
        let node = nodePlan(mode, family, facts: facts)
        var plans = PlanTable()
        _ = plans.updateAll(from: state, in: node.context)
        return (node, plans)
    }

    /// The rules of a family in iptables mode.
    func rules(_ family: IPFamily, facts: HostFacts, accounting: Bool) -> IPTablesRules {
        var rules = IPTablesRules(
            node: nodePlan(.iptables, family, facts: facts), options: .init(accounting: accounting))
        rules.update(state.services.keys, from: state)
        return rules
    }
}

extension ClusterOptions {
    /// The objects of the files and the folder that are named, or of the cluster where none are.
    fileprivate func objects(_ configuration: ProxyConfiguration) async throws(InputError) -> Manifests {
        if files.isEmpty, source.source == nil {
            return try await source.snapshot(
                configuration, nodeName: settings.nodeName(configuration), isStrict: strict)
        }
        return try ManifestReader.read(paths: files + (try source.manifestPaths()), isStrict: strict)
    }
}
