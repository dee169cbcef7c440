import ArgumentParser
import NFTBackend
import ProxyCore

/// How nftables mode lays out its rules.
enum NFTLayout: String, CaseIterable, ExpressibleByArgument {
    /// As kube-proxy: chains for every service port.
    case kubeProxy = "kube-proxy"
    /// Our own: maps that all service ports share.
    case sharedMaps = "shared-maps"

    /// The name of its table.
    var tableName: String {
        switch self {
        case .kubeProxy: NFTablesNames.kubeProxy
        case .sharedMaps: NFTablesNames.sharedMaps
        }
    }
}

/// The options that only nftables mode has.
struct NFTOptions: ParsableArguments {
    @Option(help: "In nftables mode: how the rules are laid out, shared-maps, if it is not given, or kube-proxy.")
    var layout: NFTLayout?

    @Flag(help: "In nftables mode: counts the connections to each service port.")
    var serviceCounters = false

    /// The first of them that is given, by its name.
    var given: String? { layout != nil ? "--layout" : serviceCounters ? "--service-counters" : nil }

    /// Throws where an option has no meaning.
    func require(_ mode: ProxyMode) throws(InputError) {
        if mode == .nftables {
            guard layout == .kubeProxy, serviceCounters else { return }
            throw InputError("--service-counters: the layout kube-proxy has no such counters")
        }
        if layout != nil {
            throw InputError("--layout: mode \(mode.rawValue) has one layout only; say --mode nftables")
        }
        if serviceCounters {
            throw InputError("--service-counters: mode \(mode.rawValue) has no such counters; say --mode nftables")
        }
    }
}
