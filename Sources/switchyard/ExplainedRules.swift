import BatchApplier
import ChainRenderer
import Foundation
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
        case ipvs([IPFamily: IPVSRules])
    }

    private let origin: Origin
    /// The node's own addresses.
    let local: LocalAddresses

    /// - Parameter families: those of the packets.
    init(_ options: Explain, _ families: Set<IPFamily>) async throws {
        let given = try options.nodeAddresses()
        if options.live, try options.mode() == .nftables {
            origin = .nftables(try await Self.liveTables(families, options.nftables))
            local = LocalAddresses(given + (await NodeFacts.gather()).addresses.map(\.address))
            return
        }
        if options.live {
            try options.nftables.require(.iptables)
            let rules = try await Self.liveRules(families, options.variant)
            local = LocalAddresses(given + (await HostFacts(ofThisNode: NodeAccess())).addresses)
            guard try options.mode() == .ipvs else {
                origin = .text(rules)
                return
            }
            origin = .ipvs(try await IPVSRules.live(options, rules))
            return
        }
        let hasCluster = !options.cluster.files.isEmpty || options.cluster.source.isGiven
        if let saved = options.saved {
            origin = .text(try Self.savedRules(saved, families))
            let node = hasCluster ? try await ClusterInput(options.cluster).node : nil
            local = LocalAddresses(HostFacts(of: node).addresses + given)
            if node == nil, given.isEmpty {
                Console.report(
                    "switchyard: warning: no address of the node is known but loopback; "
                        + "name them with --node-address, or give the Node with -f")
            }
            return
        }
        let input = try await ClusterInput(options.cluster)
        var facts = HostFacts(of: input.node)
        facts.addresses += given
        try options.nftables.require(input.mode)
        if input.mode == .nftables {
            var tables: [IPFamily: NFTKernelTable] = [:]
            for family in families {
                var table = input.nftablesTable(family, facts: facts, options: options.nftables)
                // Nothing was counted, which is not to look like 0 packets.
                table.counters = []
                tables[family] = table
            }
            origin = .nftables(tables)
            local = LocalAddresses(facts.addresses)
            return
        }
        local = LocalAddresses(facts.addresses)
        if input.mode == .ipvs {
            origin = .ipvs(try IPVSRules.wanted(input, families, facts))
            return
        }
        origin = .wanted(input, facts)
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
    private static func savedRules(_ path: String, _ families: Set<IPFamily>) throws -> [IPFamily: RuleSet] {
        let name = path == "-" ? "standard input" : path
        func refused(_ sentence: String) -> InputError { InputError([Diagnostic(.error, at: name, sentence)]) }
        guard let bytes = Explain.read(path) else { throw refused("the file cannot be read") }
        guard families.count < 2 else { throw refused("a save is of one family, and the packets are of both") }
        let family = families.first ?? .ipv4
        if let writer = family.other.writer(of: bytes) {
            throw refused("this is a save of \(writer), but the packet is of \(family.rawValue)")
        }
        do throws(RuleSetError) {
            return [family: try RuleSet(parsing: bytes, family: family)]
        } catch {
            throw InputError([Diagnostic(.error, at: "\(name):\(error.line)", error.reason)])
        }
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
        _ families: Set<IPFamily>, _ variant: IPTablesVariant?
    ) async throws -> [IPFamily: RuleSet] {
        let variant = if let variant { variant } else { await IPTablesVariant.detect() }
        var rules: [IPFamily: RuleSet] = [:]
        for family in families {
            let tools = try await IPTablesTools.find(family, variant)
            do {
                rules[family] = try RuleSet(parsing: try await tools.saveTables(), family: family)
            } catch let error as RuleSetError {
                throw InputError([Diagnostic(.error, at: tools.save, "what it printed cannot be read: \(error)")])
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
        Console.report(
            "switchyard: warning: the tables of iptables (\(other.rawValue)) have \(rules.ruleCount) rules too, "
                + "which are not followed; see --variant")
    }
}

extension IPFamily {
    fileprivate var other: IPFamily { self == .ipv4 ? .ipv6 : .ipv4 }

    /// The program's name if the first line of a save says that a program of this family wrote it:
    /// `# Generated by ip6tables-save v1.8.9`.
    fileprivate func writer(of save: [UInt8]) -> String? {
        let line = String(decoding: save.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        let words = line.split(separator: " ")
        guard words.count > 3, words[0] == "#", words[1] == "Generated" else { return nil }
        return words[3].hasPrefix(self == .ipv4 ? "iptables" : "ip6tables") ? String(words[3]) : nil
    }
}

extension ClusterInput {
    /// The walk over the plans of iptables mode.
    func planWalk(_ family: IPFamily, facts: HostFacts, local: LocalAddresses) -> PlanWalk {
        let plan = NodePlan(
            configuration, mode: .iptables, family: family, nodeName: nodeName, node: node, facts: facts)
        var table = PlanTable()
        _ = table.updateAll(from: state, in: plan.context)
        return PlanWalk(
            node: plan, plans: table.all, local: local, serviceRanges: state.serviceRanges(family))
    }
}
