import BatchApplier
import ChainRenderer
import IPVSBackend
import ProxyCore

/// The virtual servers of a family that packets are followed through, and the rules around them.
struct IPVSRules {
    var rules: RuleSet
    var servers: WalkedServers

    func walk(_ local: LocalAddresses) -> RuleWalk { RuleWalk(rules, local: local, servers: servers) }

    /// Those that a cluster wants.
    static func wanted(
        _ input: ClusterInput, _ families: Set<IPFamily>, _ facts: HostFacts
    ) throws -> [IPFamily: IPVSRules] {
        var all: [IPFamily: IPVSRules] = [:]
        for family in families {
            let table = input.ipvsTable(family, facts: facts)
            all[family] = IPVSRules(
                rules: try RuleSet(wanted: table.rules()),
                servers: WalkedServers(table.kernelState(), family, owners: table.owners))
        }
        return all
    }

    /// Those in the kernel of this node. Where a cluster is given, it tells whose they are.
    ///
    /// - Parameter rules: what the save programs printed.
    static func live(_ options: Explain, _ rules: [IPFamily: RuleSet]) async throws -> [IPFamily: IPVSRules] {
        let hasCluster = !options.cluster.files.isEmpty || options.cluster.source.isGiven
        let input = hasCluster ? try await ClusterInput(options.cluster) : nil
        let variant = if let variant = options.variant { variant } else { await IPTablesVariant.detect() }
        var all: [IPFamily: IPVSRules] = [:]
        for (family, rules) in rules {
            let tools = try await IPTablesTools.find(family, variant)
            let state = try await IPVSCommitter(tools: tools).list(family)
            let facts = await HostFacts(ofThisNode: tools)
            let owners = input.map { $0.ipvsTable(family, facts: facts).owners } ?? [:]
            all[family] = IPVSRules(rules: rules, servers: WalkedServers(state, family, owners: owners))
        }
        return all
    }
}

extension IPVSTable {
    fileprivate var owners: [VirtualServer.Key: String] { serverOwners.mapValues(\.description) }
}
