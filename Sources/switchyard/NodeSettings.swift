import ArgumentParser
import BatchApplier
import EndpointWatcher
import Foundation
import ProxyCore

/// By which configuration, in which mode and for which node rules are made.
struct NodeSettings: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A KubeProxyConfiguration; without one its defaults hold. The daemon follows its changes.",
            valueName: "file"))
    var config: String?

    @Option(help: "The mode, over the configuration's: iptables, ipvs or nftables.")
    var mode: ProxyMode?

    @Option(help: ArgumentHelp("The node that the rules are for, over the configuration's.", valueName: "node"))
    var hostnameOverride: String?

    /// The configuration, and what is to be said about its file.
    func configuration() throws(InputError) -> (ProxyConfiguration, [Diagnostic]) {
        guard let config else { return (ProxyConfiguration(), []) }
        return try ConfigurationReader.read(path: config)
    }

    func mode(_ configuration: ProxyConfiguration) -> ProxyMode { mode ?? configuration.mode }

    /// The name by which this node's endpoints are recognised: the option, else the configuration's, else the host's
    /// own; in lower case, as the API has names of nodes.
    func nodeName(_ configuration: ProxyConfiguration) -> String {
        let override = hostnameOverride ?? configuration.hostnameOverride
        let name = override.isEmpty ? NodeFacts.hostName() : override
        return name.trimmingCharacters(in: .whitespaces).lowercased()
    }
}
