import ArgumentParser
import BatchApplier
import ChainRenderer
import Foundation
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

    @Flag(help: "Prints the differences as JSON.")
    var json = false

    func validate() throws {
        guard !saved.isEmpty else { return }
        if saved.count > 2 { throw ValidationError("--saved can be given twice at the most.") }
        if variant != nil { throw ValidationError("--variant has no use with --saved.") }
        if family == .both { throw ValidationError("A save is of one family: --family ipv4 or --family ipv6.") }
        if saved.count == 2, !cluster.files.isEmpty || cluster.source != nil {
            throw ValidationError("Two saves are compared with each other, without manifests.")
        }
        if saved.filter({ $0 == "-" }).count + cluster.files.filter({ $0 == "-" }).count > 1 {
            throw ValidationError("Standard input can be read once.")
        }
    }

    func run() async throws {
        let results = saved.isEmpty ? try await compareLive() : [try compareSaved()]
        if json {
            Console.write(try DiffReport.json(results))
        } else {
            Console.write(DiffReport.text(results, inColour: isatty(STDOUT_FILENO) == 1))
            for result in results where result.differences?.isEmpty == true {
                let count = result.differences?.wantedRuleCount ?? 0
                Console.report("switchyard: \(result.family.rawValue): no difference in \(count) rules")
            }
        }
        if results.contains(where: { $0.differences == nil }) { throw ExitStatus.badInput }
        if results.contains(where: { $0.differences?.isEmpty == false }) { throw ExitStatus.failed }
    }

    // MARK: Saves

    private func compareSaved() throws -> DiffReport.Result {
        let family = family?.families.first ?? .ipv4
        let wanted: RuleSet
        if saved.count == 2 {
            wanted = try read(saved[0], family)
        } else {
            let input = try ClusterInput(cluster)
            try input.requireIPTables("compared")
            wanted = try Self.wanted(input, family, HostFacts(of: input.node))
        }
        let found = try read(saved[saved.count - 1], family)
        let comparison = RuleComparison(wanted: wanted, found: found, leavesGuardToKubelet: saved.count == 1)
        return .init(family: family, differences: comparison.differences())
    }

    private func read(_ path: String, _ family: IPFamily) throws -> RuleSet {
        let data =
            path == "-"
            ? try? FileHandle.standardInput.readToEnd() ?? Data() : FileManager.default.contents(atPath: path)
        guard let data else {
            Console.report("switchyard: error: \(path): the file is missing or cannot be read")
            throw ExitStatus.badInput
        }
        do {
            let rules = try RuleSet(parsing: Array(data), family: family)
            if rules.hasTables { return rules }
            Console.report("switchyard: error: \(path): there is no table in it")
        } catch {
            Console.report("switchyard: error: \(path): \(error)")
        }
        throw ExitStatus.badInput
    }

    private static func wanted(_ input: ClusterInput, _ family: IPFamily, _ facts: HostFacts) throws -> RuleSet {
        var rules = input.rules(family, facts: facts, accounting: false)
        return try RuleSet(wanted: rules.fullBatch())
    }

    // MARK: The kernel

    private func compareLive() async throws -> [DiffReport.Result] {
        let input = try ClusterInput(cluster)
        try input.requireIPTables("compared")
        let variant = if let variant { variant } else { await IPTablesVariant.detect() }
        var results: [DiffReport.Result] = []
        for family in (family ?? .both).onThisNode("compared") {
            do {
                let tools = try await IPTablesTools.find(family, variant)
                let wanted = try Self.wanted(input, family, await HostFacts(ofThisNode: tools))
                let text = try await IPTablesApplier(tools: tools).save([.filter, .nat])
                let found = try RuleSet(parsing: text, family: family)
                let comparison = RuleComparison(wanted: wanted, found: found, leavesGuardToKubelet: true)
                results.append(.init(family: family, differences: comparison.differences()))
            } catch {
                Console.report("switchyard: error: \(family.rawValue): the rules could not be compared: \(error)")
                results.append(.init(family: family, differences: nil))
            }
        }
        return results
    }
}
