public import ProxyCore

/// A part of nf_tables that nftables mode needs and that a kernel can be without.
///
/// The names of options are those of net/netfilter/Kconfig, net/ipv4/netfilter/Kconfig and net/ipv6/netfilter/Kconfig.
public enum NFTFeature: String, CaseIterable, Sendable {
    /// Without it nothing else can be there.
    case tables = "tables of this family"
    case natChains = "nat chains"
    case verdictMaps = "verdict maps with several parts in their keys"
    case connectionTracking = "the expression ct"
    case randomNumbers = "the expression numgen"
    case translation = "the expression nat with a map"
    case masquerading = "the expression masq"
    case rejection = "the expression reject"
    case routes = "the expression fib"
    case affinity = "maps that rules add to, with timeouts"
    case counters = "counters that a map names"

    /// The options that give it, for a family.
    public func kernelOptions(_ family: IPFamily) -> String {
        let number = family == .ipv4 ? "4" : "6"
        switch self {
        case .tables: return "CONFIG_NF_TABLES_IPV\(number)"
        case .natChains, .translation: return "CONFIG_NFT_NAT"
        // Parts of nf_tables itself, which older kernels have less of.
        case .verdictMaps, .affinity: return "CONFIG_NF_TABLES of kernel 5.13 or newer"
        case .connectionTracking: return "CONFIG_NFT_CT"
        case .randomNumbers: return "CONFIG_NFT_NUMGEN"
        case .masquerading: return "CONFIG_NFT_MASQ"
        case .rejection: return "CONFIG_NFT_REJECT and CONFIG_NFT_REJECT_IPV\(number)"
        case .routes: return "CONFIG_NFT_FIB and CONFIG_NFT_FIB_IPV\(number)"
        // nf_tables itself has them since 5.17 and 6.2.
        case .counters: return "CONFIG_NFT_OBJREF and, before 5.17, CONFIG_NFT_COUNTER"
        }
    }

    /// What does without it what it should not.
    public var use: String {
        switch self {
        case .tables, .natChains, .translation, .verdictMaps, .connectionTracking: "every service needs it"
        case .randomNumbers: "services with endpoints need it"
        case .masquerading: "external traffic and traffic of an endpoint to itself need it"
        case .rejection: "services without endpoints and other ports of cluster IPs need it"
        case .routes: "node ports on all addresses of the node need it"
        case .affinity: "session affinity needs it"
        case .counters: "counting connections (--service-counters) needs it"
        }
    }

    /// What is said where a kernel is without it.
    public func absence(_ family: IPFamily) -> String {
        "this kernel lacks \(rawValue) (\(kernelOptions(family))): \(use)"
    }

    /// What is said where a kernel has refused something, and these are what it may be without.
    public static func possibleAbsence(_ features: [NFTFeature], _ family: IPFamily) -> String? {
        guard !features.isEmpty else { return nil }
        let names = features.map { "\($0.rawValue) (\($0.kernelOptions(family)))" }
        return "this kernel may lack " + names.joined(separator: ", or ")
    }

    /// By the name of an expression; nil for those that are in nf_tables itself.
    static func ofExpression(_ name: String) -> NFTFeature? {
        switch name {
        case "ct": .connectionTracking
        case "numgen": .randomNumbers
        case "nat": .translation
        case "masq": .masquerading
        case "reject": .rejection
        case "fib": .routes
        case "objref", "counter": .counters
        default: nil
        }
    }
}

// MARK: - To be tried

extension NFTFeature {
    /// A transaction that a kernel takes if it has this.
    ///
    /// It makes a table `switchyard-check`, and with it whatever earlier ones have made goes. To be committed where no
    /// packets come: its chains have hooks.
    public func trial(_ family: IPFamily) -> NFTTransaction {
        let table = NFTTable.Identity(family: family, name: "switchyard-check", comment: nil)
        let start: [NFTChange] = [.addTable, .deleteTable(name: table.name), .addTable]
        return NFTTransaction(table, start + steps)
    }

    private var steps: [NFTChange] {
        let filter = NFTChain(name: "filter", hook: .init(.filter, .forward, priority: 0))
        let prerouting = NFTChain(name: "nat", hook: .init(.nat, .prerouting, priority: -100))
        let postrouting = NFTChain(name: "nat", hook: .init(.nat, .postrouting, priority: 100))
        let door: [NFTField] = [.destinationAddress, .transportProtocol, .destinationPort]
        let doorTypes: [NFTType] = [.address, .protocol, .port]
        func steps(_ chain: NFTChain, _ sets: [NFTSet] = [], _ statements: NFTStatement...) -> [NFTChange] {
            [.addChain(chain)] + sets.map(NFTChange.addSet) + [.addRule(NFTRule(statements), chain: chain.name)]
        }
        switch self {
        case .tables: return [.addChain(filter)]
        case .natChains: return [.addChain(prerouting)]
        case .verdictMaps:
            return steps(
                filter, [NFTSet(name: "map", key: doorTypes, datum: .verdict)], .verdictMap(door, map: "map"))
        case .connectionTracking: return steps(filter, [], .matchNewConnection, .verdict(.drop))
        case .randomNumbers:
            let chain = NFTChange.addChain(NFTChain(name: "picked"))
            return [chain] + steps(filter, [], .verdictOfRandom([.goto("picked"), .drop]))
        case .translation:
            let map = NFTSet(name: "map", key: doorTypes, datum: .values([.address, .port]))
            return steps(prerouting, [map], .translateByMap(door, map: "map"))
        case .masquerading: return steps(postrouting, [], .masquerade(fullyRandom: true))
        case .rejection: return steps(filter, [], .reject)
        case .routes: return steps(filter, [], .matchLocal(.destinationAddressType), .verdict(.drop))
        case .affinity:
            let map = NFTSet(
                name: "map", key: [.address, .address], datum: .values([.address]), isDynamic: true,
                hasTimeouts: true, size: 1024)
            let key: [NFTField] = [.sourceAddress, .destinationAddress]
            return steps(
                prerouting, [map], .setAddress(.sourceAddress, .map(key, map: "map")),
                .delete(set: "map", key: key, datum: .sourceAddress),
                .update(set: "map", key: key, datum: .sourceAddress, timeoutSeconds: 10))
        case .counters:
            let map = NFTSet(name: "map", key: doorTypes, datum: .counter)
            return [.addCounter(NFTCounter(name: "counter"))] + steps(filter, [map], .count(key: door, map: "map"))
        }
    }
}
