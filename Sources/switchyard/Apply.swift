import ArgumentParser
import BatchApplier
import ChainRenderer
import ProxyCore
import SyncLoop

/// Commits the rules of a cluster to this node's kernel, once.
struct Apply: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Commits the rules to the kernel of this node, once.",
        discussion: """
            The two families are committed apart: if one is refused, the other stands. In iptables (legacy) and \
            nftables mode a family is committed as a whole or not at all; in iptables (nft) large loads go in pieces, \
            and in ipvs mode what the kernel refuses is named and the rest is done. Rules of others are left as they \
            are. Needs root, or CAP_NET_ADMIN in the node's network namespace. Status 0: done, 1: the kernel refused, \
            2: bad input.
            """)

    @OptionGroup var cluster: ClusterOptions

    @OptionGroup var commit: CommitOptions

    @OptionGroup var nftables: NFTOptions

    @Flag(help: "Prints what would be committed and commits nothing.")
    var dryRun = false

    func run() async throws {
        let input = try await ClusterInput(cluster)
        try nftables.require(input.mode)
        try UselessOption.refuse(commit.useless(in: input.mode))
        if input.mode == .nftables { return try await applyNFTables(input) }
        let variant = await IPTablesVariant.chosen(commit.variant)
        if input.mode == .ipvs { return try await applyIPVS(input, variant) }
        let accounting = AccountingChoice(commit.nfacct, isDryRun: dryRun).make(warn: Console.warning)
        var failed = false
        for family in commit.family.onThisNode("committed") {
            do {
                try await apply(input, family, variant, accounting)
            } catch let error as IPTablesError {
                Console.error("\(error)")
                failed = true
            }
        }
        if failed { throw ExitStatus.failed }
    }

    private func apply(
        _ input: ClusterInput, _ family: IPFamily, _ variant: IPTablesVariant, _ accounting: Bool
    ) async throws {
        let tools = try await IPTablesTools.find(family, variant)
        var rules = input.rules(family, facts: await HostFacts(ofThisNode: tools), accounting: accounting)
        let applier = IPTablesApplier(tools: tools)
        let batches = rules.fullBatches(chainLimit: variant.chainLimit)
        if dryRun {
            for batch in batches { Console.write(try await applier.dryRun(batch)) }
            return
        }
        let clock = ContinuousClock()
        let start = clock.now
        var report: IPTablesReport?
        for batch in batches {
            let committed = try await applier.apply(batch)
            tell(of: committed, family)
            report = committed
        }
        let milliseconds = (clock.now - start) / .milliseconds(1)
        Console.say(
            "\(family.rawValue): committed \(rules.servicePortCount) service ports to iptables "
                + "(\(variant.rawValue)) in \(Int(milliseconds.rounded())) ms; \(report?.insertedJumps.count ?? 0) "
                + "jumps put in, \(report?.removedChains.count ?? 0) stale chains removed")
        await removeRemains(family, of: input, servedBy: .iptables(variant))
    }

    /// Takes away what the modes have left that do not serve any more, and says so.
    func removeRemains(_ family: IPFamily, of input: ClusterInput, servedBy serving: ModeRemains.Serving) async {
        let remains = ModeRemains(serving, excluding: input.configuration.ipvs.excludeCIDRs)
        for finding in await remains.removeRules(family) + remains.retireVirtualServers(family) {
            switch finding {
            case .removed(let what): Console.say("\(what), as \(input.mode.rawValue) serves now")
            case .kept(let what):
                Console.note("\(what), till they end: apply again then, or clean up")
            case .failed(let why): Console.warning(why)
            }
        }
    }

    /// Says what was out of order and is not any more.
    private func tell(of report: IPTablesReport, _ family: IPFamily) {
        for warning in report.warnings { Console.warning(warning) }
        for (jumps, finding) in [
            (report.movedJumps, "stood behind a rule that takes every connection; it is first again"),
            (report.reducedJumps, "was there more than once; it is there once again"),
        ] {
            for jump in jumps {
                Console.note(
                    "\(family.rawValue): the jump from \(jump.chain) to \(jump.target) of table "
                        + "\(jump.table.rawValue) \(finding)")
            }
        }
    }
}
