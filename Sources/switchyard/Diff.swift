import ArgumentParser
import BatchApplier
import ChainRenderer
import Foundation
import IPVSBackend
import ProxyCore

/// Compares rules by meaning: those wanted with this node's or with a save, or two saves.
struct Diff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says where the rules on this node, or in a save, differ from those that are wanted.",
        discussion: """
            Compares by what the rules do to packets, not by how they are spelled. Without --saved, the cluster's \
            rules with this node's kernel. With one --saved, with what iptables-save printed. With two, the first \
            save is what is wanted and no manifests are needed. Status 0: no difference, 1: some, 2: could not tell.
            """)

    @OptionGroup var cluster: ClusterOptions

    @Option(
        help: ArgumentHelp(
            "Compares with this output of iptables-save; given twice, the two with each other. - is standard input.",
            valueName: "file"))
    var saved: [String] = []

    @Option(help: "The families: ipv4, ipv6 or both (default: both; ipv4 with --saved).")
    var family: FamilyChoice?

    @Option(help: "The iptables variant, legacy or nft; without it the node's own is found out.")
    var variant: IPTablesVariant?

    @OptionGroup var nftables: NFTOptions

    @Flag(help: "Prints the differences as JSON.")
    var json = false

    func validate() throws {
        guard !saved.isEmpty else { return }
        if saved.count > 2 { throw ValidationError("--saved can be given twice at the most.") }
        if let option = variant != nil ? "--variant" : nftables.given {
            throw ValidationError("\(option) has no use with --saved.")
        }
        if family == .both { throw ValidationError("A save is of one family: --family ipv4 or --family ipv6.") }
        if saved.count == 2, cluster.isGiven {
            throw ValidationError("Two saves are compared with each other, without manifests.")
        }
        if saved.filter({ $0 == "-" }).count + cluster.files.filter({ $0 == "-" }).count > 1 {
            throw ValidationError("Standard input can be read once.")
        }
    }

    func run() async throws {
        let results = saved.isEmpty ? try await compareLive() : [try await compareSaved()]
        if json {
            Console.write(try DiffReport.json(results))
        } else {
            Console.write(DiffReport.text(results, inColour: isatty(STDOUT_FILENO) == 1))
            for result in results where result.differences?.isEmpty == true {
                let rules = "\(result.differences?.wantedRuleCount ?? 0) rules"
                let servers = result.wantedServerCount.map { "\($0) virtual servers and " } ?? ""
                Console.say("\(result.family.rawValue): no difference in \(servers)\(rules)")
            }
        }
        if results.contains(where: { $0.differences == nil }) { throw ExitStatus.badInput }
        if results.contains(where: { $0.differences?.isEmpty == false }) { throw ExitStatus.failed }
    }

    // MARK: Saves

    private func compareSaved() async throws -> DiffReport.Result {
        let family = family?.families.first ?? .ipv4
        let wanted: RuleSet
        if saved.count == 2 {
            wanted = try read(saved[0], family)
        } else {
            let input = try await ClusterInput(cluster)
            guard input.mode != .nftables else {
                throw InputError("mode nftables: a save of iptables has none of its rules")
            }
            wanted = try Self.wanted(input, family, HostFacts(of: input.node))
        }
        let found = try read(saved[saved.count - 1], family)
        let comparison = RuleComparison(wanted: wanted, found: found, leavesGuardToKubelet: saved.count == 1)
        return .init(family: family, differences: comparison.differences())
    }

    private func read(_ path: String, _ family: IPFamily) throws(InputError) -> RuleSet {
        let text = try InputText(path: path)
        let other = family == .ipv4 ? FamilyChoice.ipv6 : .ipv4
        let rules = try text.rules(
            family, mismatch: "it is read as \(family.rawValue); say --family \(other.rawValue)")
        guard rules.hasTables else { throw InputError("there is no table in it", at: text.name) }
        return rules
    }

    private static func wanted(_ input: ClusterInput, _ family: IPFamily, _ facts: HostFacts) throws -> RuleSet {
        if input.mode == .ipvs { return try RuleSet(wanted: input.ipvsTable(family, facts: facts).rules()) }
        var rules = input.rules(family, facts: facts, accounting: false)
        return try RuleSet(wanted: rules.fullBatch())
    }

    // MARK: The kernel

    private func compareLive() async throws -> [DiffReport.Result] {
        let input = try await ClusterInput(cluster)
        try nftables.require(input.mode)
        try UselessOption.refuse([.variant(variant, in: input.mode)])
        let families = (family ?? .both).onThisNode("compared")
        let results =
            input.mode == .nftables
            ? await compareNFTables(input, families) : await compareRules(input, families)
        await OtherModes.warn(
            besides: input.mode, families, excluding: input.configuration.ipvs.excludeCIDRs, "compared")
        return results
    }

    /// The rules of iptables or ipvs mode, and the virtual servers.
    private func compareRules(_ input: ClusterInput, _ families: [IPFamily]) async -> [DiffReport.Result] {
        let variant = await IPTablesVariant.chosen(variant)
        var results: [DiffReport.Result] = []
        for family in families {
            do {
                let tools = try await IPTablesTools.find(family, variant)
                let facts = await HostFacts(ofThisNode: tools)
                let wanted = try Self.wanted(input, family, facts)
                let text = try await IPTablesApplier(tools: tools).save([.filter, .nat])
                let found = try RuleSet(parsing: text, family: family)
                let comparison = RuleComparison(wanted: wanted, found: found, leavesGuardToKubelet: true)
                var result = DiffReport.Result(family: family, differences: comparison.differences())
                if input.mode == .ipvs {
                    let table = input.ipvsTable(family, facts: facts)
                    result.add(table, found: try await IPVSCommitter(tools: tools).list(family))
                }
                results.append(result)
            } catch {
                Console.error("\(family.rawValue): the rules could not be compared: \(error)")
                results.append(.init(family: family, differences: nil))
            }
        }
        return results
    }
}
