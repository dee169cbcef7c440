import BatchApplier
import ChainRenderer
import NFTBackend
import ProxyCore
import SyncLoop

/// The rules that packets are followed through: wanted, saved or live.
struct ExplainedRules {
    private enum Origin {
        case wanted(ClusterInput, HostFacts)
        case text([IPFamily: RuleSet])
        /// Tables of nftables mode.
        case nftables([IPFamily: NFTKernelTable])
        /// What virtual servers and rules of ipvs mode there are.
        case ipvs([IPFamily: ExplainedServers])
    }

    private let origin: Origin
    /// The node's own addresses.
    let local: LocalAddresses

    /// - Parameter families: those of the packets.
    init(_ options: Explain, _ families: Set<IPFamily>) async throws {
        let given = try options.nodeAddresses()
        if options.live {
            self = try await .live(options, families, given)
        } else if let saved = options.saved {
            self = try await .saved(saved, options, families, given)
        } else {
            self = try await .wanted(options, families, given)
        }
    }

    private init(_ origin: Origin, local: [IPAddress]) {
        self.origin = origin
        self.local = LocalAddresses(local)
    }

    private static func live(
        _ options: Explain, _ families: Set<IPFamily>, _ given: [IPAddress]
    ) async throws -> ExplainedRules {
        let configuration = try options.cluster.settings.configuration().0
        let mode = options.cluster.settings.mode(configuration)
        try options.nftables.require(mode)
        try UselessOption.refuse([.variant(options.variant, in: mode)])
        let origin: Origin
        let addresses: [IPAddress]
        if mode == .nftables {
            origin = .nftables(try await liveTables(families, options.nftables))
            addresses = (await NodeFacts.gather()).addresses.map(\.address)
        } else {
            let variant = await IPTablesVariant.chosen(options.variant)
            let rules = try await liveRules(families, variant)
            origin =
                mode == .ipvs
                ? .ipvs(try await ExplainedServers.live(options.cluster, rules, variant)) : .text(rules)
            addresses = (await HostFacts(ofThisNode: NodeAccess())).addresses
        }
        await OtherModes.warn(
            besides: mode, Array(families), excluding: configuration.ipvs.excludeCIDRs, "followed")
        return ExplainedRules(origin, local: given + addresses)
    }

    private static func saved(
        _ path: String, _ options: Explain, _ families: Set<IPFamily>, _ given: [IPAddress]
    ) async throws -> ExplainedRules {
        let rules = try savedRules(path, families)
        let node = options.cluster.isGiven ? try await ClusterInput(options.cluster).node : nil
        if node == nil, given.isEmpty {
            Console.warning(
                "no address of the node is known but loopback; name them with --node-address, or give the Node with -f")
        }
        return ExplainedRules(.text(rules), local: HostFacts(of: node).addresses + given)
    }

    private static func wanted(
        _ options: Explain, _ families: Set<IPFamily>, _ given: [IPAddress]
    ) async throws -> ExplainedRules {
        let input = try await ClusterInput(options.cluster)
        var facts = HostFacts(of: input.node)
        facts.addresses += given
        try options.nftables.require(input.mode)
        let origin: Origin
        switch input.mode {
        case .iptables: origin = .wanted(input, facts)
        case .ipvs: origin = .ipvs(try ExplainedServers.wanted(input, families, facts))
        case .nftables:
            var tables: [IPFamily: NFTKernelTable] = [:]
            for family in families {
                var table = input.nftablesTable(family, facts: facts, options: options.nftables)
                // Nothing was counted, which is not to look like 0 packets.
                table.counters = []
                tables[family] = table
            }
            origin = .nftables(tables)
        }
        return ExplainedRules(origin, local: facts.addresses)
    }

    /// Follows a packet as a host does.
    func walk(_ packet: Packet) throws -> RuleWalkResult {
        if case .nftables(let tables) = origin {
            return NFTWalk(tables[packet.family] ?? .empty(packet.family), local: local).walk(packet, order: .host)
        }
        if case .ipvs(let all) = origin, let walk = all[packet.family]?.walk(local) {
            return walk.walk(packet, order: .host)
        }
        return RuleWalk(try rules(packet.family), local: local).walk(packet, order: .host)
    }

    /// Where packets end in the order of the tracer. Each family is made ready once.
    func tracer() throws -> (Packet) throws -> PacketFate {
        var walks: [IPFamily: (Packet) -> PacketFate] = [:]
        return { packet in
            if let walk = walks[packet.family] { return walk(packet) }
            let walk = try makeTracer(packet.family)
            walks[packet.family] = walk
            return walk(packet)
        }
    }

    private func makeTracer(_ family: IPFamily) throws -> (Packet) -> PacketFate {
        if case .nftables(let tables) = origin {
            let walk = NFTWalk(tables[family] ?? .empty(family), local: local)
            return { walk.fate(of: $0, order: .tracer) }
        }
        // There is no tracer of virtual servers: a host's order is the only one.
        if case .ipvs(let all) = origin, let walk = all[family]?.walk(local) {
            return { walk.walk($0, order: .host).fate }
        }
        guard case .wanted(let input, let facts) = origin else {
            let walk = RuleWalk(try rules(family), local: local)
            return { walk.walk($0, order: .tracer).fate }
        }
        // The plans end packets where their rules do, and find the service at once.
        let walk = input.planWalk(family, facts: facts, local: local)
        return { walk.fate(of: $0, order: .tracer) }
    }

    private func rules(_ family: IPFamily) throws -> RuleSet {
        switch origin {
        case .wanted(let input, let facts):
            var rules = input.rules(family, facts: facts, accounting: false)
            return try RuleSet(wanted: rules.fullBatch())
        case .text(let rules):
            return rules[family] ?? RuleSet.empty(family)
        case .nftables, .ipvs:
            return RuleSet.empty(family)
        }
    }
}

// MARK: - Texts

extension ExplainedRules {
    private static func savedRules(
        _ path: String, _ families: Set<IPFamily>
    ) throws(InputError) -> [IPFamily: RuleSet] {
        let text = try InputText(path: path)
        guard families.count < 2 else {
            throw InputError("a save is of one family, and the packets are of both", at: text.name)
        }
        let family = families.first ?? .ipv4
        return [family: try text.rules(family, mismatch: "the packet is of \(family.rawValue)")]
    }

    /// The tables of nftables mode in the kernel of this node: the layout's that is asked for, or else ours or
    /// kube-proxy's, whichever is there.
    private static func liveTables(
        _ families: Set<IPFamily>, _ options: NFTOptions
    ) async throws -> [IPFamily: NFTKernelTable] {
        var tables: [IPFamily: NFTKernelTable] = [:]
        let applier = NFTablesApplier()
        for family in families {
            for name in options.layout.map({ [$0.tableName] }) ?? NFTablesNames.all where tables[family] == nil {
                let dump = try await applier.read(family, table: name, withElements: true)
                tables[family] = dump.map { NFTKernelTable($0, family, table: name) }
            }
        }
        return tables
    }

    private static func liveRules(
        _ families: Set<IPFamily>, _ variant: IPTablesVariant
    ) async throws -> [IPFamily: RuleSet] {
        var rules: [IPFamily: RuleSet] = [:]
        for family in families {
            let tools = try await IPTablesTools.find(family, variant)
            do {
                rules[family] = try RuleSet(parsing: try await tools.saveTables(), family: family)
            } catch let error as RuleSetError {
                throw InputError("what it printed cannot be read: \(error)", at: tools.save)
            }
            await warnOfOtherVariant(family, variant)
        }
        return rules
    }

    /// A packet passes the rules of both variants; those of the other are not followed.
    private static func warnOfOtherVariant(_ family: IPFamily, _ variant: IPTablesVariant) async {
        let other = IPTablesVariant.allCases.first { $0 != variant } ?? variant
        guard let tools = try? await IPTablesTools.find(family, other), let bytes = try? await tools.saveTables(),
            let rules = try? RuleSet(parsing: bytes, family: family), rules.ruleCount > 0
        else { return }
        Console.warning(
            "the tables of iptables (\(other.rawValue)) have \(rules.ruleCount) rules too, "
                + "which are not followed; see --variant")
    }
}

extension ClusterInput {
    /// The walk over the plans of iptables mode.
    func planWalk(_ family: IPFamily, facts: HostFacts, local: LocalAddresses) -> PlanWalk {
        let (node, plans) = plans(.iptables, family, facts: facts)
        return PlanWalk(
            node: node, plans: plans.all, local: local, serviceRanges: state.serviceRanges(family))
    }
}
