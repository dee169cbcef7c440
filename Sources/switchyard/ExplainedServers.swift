import BatchApplier
import ChainRenderer
import IPVSBackend
import ProxyCore

/// The virtual servers of a family that packets are followed through, and the rules around them.
struct ExplainedServers {
    var rules: RuleSet
    var servers: WalkedServers

    func walk(_ local: LocalAddresses) -> RuleWalk { RuleWalk(rules, local: local, servers: servers) }

    /// Those that a cluster wants.
    static func wanted(
        _ input: ClusterInput, _ families: Set<IPFamily>, _ facts: HostFacts
    ) throws -> [IPFamily: ExplainedServers] {
        var all: [IPFamily: ExplainedServers] = [:]
        for family in families {
            let table = input.ipvsTable(family, facts: facts)
            all[family] = ExplainedServers(
                rules: try RuleSet(wanted: table.rules()),
                servers: WalkedServers(table.kernelState(), family, owners: table.owners))
        }
        return all
    }

    /// Those in the kernel of this node. Where a cluster is given, it tells whose they are.
    ///
    /// - Parameter rules: what the save programs of the variant printed.
    static func live(
        _ cluster: ClusterOptions, _ rules: [IPFamily: RuleSet], _ variant: IPTablesVariant
    ) async throws -> [IPFamily: ExplainedServers] {
        let input = cluster.isGiven ? try await ClusterInput(cluster) : nil
        var all: [IPFamily: ExplainedServers] = [:]
        for (family, rules) in rules {
            let tools = try await IPTablesTools.find(family, variant)
            let state = try await IPVSCommitter(tools: tools).list(family)
            let facts = await HostFacts(ofThisNode: tools)
            let owners = input.map { $0.ipvsTable(family, facts: facts).owners } ?? [:]
            all[family] = ExplainedServers(rules: rules, servers: WalkedServers(state, family, owners: owners))
        }
        return all
    }
}

extension IPVSTable {
    fileprivate var owners: [VirtualServer.Key: String] { serverOwners.mapValues(\.description) }
}
