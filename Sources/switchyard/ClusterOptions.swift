public import ArgumentParser
import BatchApplier
import ChainRenderer
import EndpointWatcher
import Foundation
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

    @Option(help: ArgumentHelp("A KubeProxyConfiguration; without one its defaults hold.", valueName: "file"))
    var config: String?

    @Option(help: "The mode, over the configuration's: iptables, ipvs or nftables.")
    var mode: ProxyMode?

    @Option(help: ArgumentHelp("The node that the rules are for, over the configuration's.", valueName: "node"))
    var hostnameOverride: String?

    @Flag(help: "Refuses the input where it would otherwise cost a port, an endpoint or a source range.")
    var strict = false
}

extension ProxyMode: ExpressibleByArgument {}
extension CIDR: ExpressibleByArgument {}

/// The families that a command works on.
enum FamilyChoice: String, CaseIterable, ExpressibleByArgument {
    case ipv4, ipv6, both

    var families: [IPFamily] {
        switch self {
        case .ipv4: [.ipv4]
        case .ipv6: [.ipv6]
        case .both: [.ipv4, .ipv6]
        }
    }
}

/// A cluster as one node sees it: what the options led to.
struct ClusterInput {
    let configuration: ProxyConfiguration
    let mode: ProxyMode
    let nodeName: String
    let node: Node?
    let state: ClusterState

    /// Reads everything, reports every diagnostic, and ends the command with status 2 if the input is refused.
    init(_ options: ClusterOptions) async throws {
        do {
            var diagnostics: [Diagnostic] = []
            try await self.init(options, &diagnostics)
            for diagnostic in diagnostics { Console.report("switchyard: \(diagnostic)") }
        } catch {
            for diagnostic in error.diagnostics { Console.report("switchyard: \(diagnostic)") }
            throw ExitStatus.badInput
        }
    }

    private init(_ options: ClusterOptions, _ diagnostics: inout [Diagnostic]) async throws(InputError) {
        var refused: [Diagnostic] = []
        var configuration = ProxyConfiguration()
        var manifests = Manifests()
        do {
            if let path = options.config {
                let read = try ConfigurationReader.read(path: path)
                configuration = read.0
                diagnostics += read.1
            }
        } catch { refused += error.diagnostics }
        do {
            manifests = try await options.objects(configuration)
            diagnostics += manifests.diagnostics
        } catch { refused += error.diagnostics }
        guard refused.isEmpty else { throw InputError(diagnostics + refused) }

        self.configuration = configuration
        mode = options.mode ?? configuration.mode
        nodeName = NodeName.choose(options.hostnameOverride, configuration)
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

    /// The rules of a family, rendered from what is known of the node.
    func rules(_ family: IPFamily, facts: HostFacts, accounting: Bool) -> IPTablesRules {
        let node = NodePlan(
            configuration, mode: .iptables, family: family, nodeName: nodeName, node: node, facts: facts)
        var rules = IPTablesRules(node: node, options: .init(accounting: accounting))
        rules.update(state.services.keys, from: state)
        return rules
    }
}

extension ClusterOptions {
    /// The objects of the files and the folder that are named, or of the cluster where none are.
    fileprivate func objects(_ configuration: ProxyConfiguration) async throws(InputError) -> Manifests {
        if files.isEmpty, source.source == nil {
            return try await source.snapshot(
                configuration, nodeName: NodeName.choose(hostnameOverride, configuration), isStrict: strict)
        }
        return try ManifestReader.read(paths: files + (try source.manifestPaths()), isStrict: strict)
    }
}

/// The name by which this node's endpoints are recognised.
enum NodeName {
    /// The option, else the configuration's, else the host's own; in lower case, as the API has names of nodes.
    static func choose(_ option: String?, _ configuration: ProxyConfiguration) -> String {
        let override = option ?? configuration.hostnameOverride
        let name = override.isEmpty ? NodeFacts.hostName() : override
        return name.trimmingCharacters(in: .whitespaces).lowercased()
    }
}
