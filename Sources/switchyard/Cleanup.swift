import ArgumentParser
import BatchApplier
import ProxyCore

/// Takes everything of ours, and of a kube-proxy's, from this node's kernel.
struct Cleanup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Removes the rules of Switchyard and of kube-proxy from the kernel of this node.",
        discussion: """
            Every chain with a name that kube-proxy uses is removed with its rules and the jumps to it, whoever wrote \
            it, from the tables of both iptables variants and both families; so are the two accounting objects, the \
            tables of nftables mode, and the virtual servers of services, sets and the device kube-ipvs0 of ipvs \
            mode, with the connections that go through them. All else stays: rules and virtual servers of others, and \
            KUBE-FIREWALL, which the kubelet uses too. A chain that a rule of another program leads to cannot be \
            removed; it is emptied and named, and the status is 1; so it is where another program uses a set, which \
            stays as it is. Needs root, or CAP_NET_ADMIN in the node's network namespace. Status 0: all is gone \
            that was to go, 1: something is left, 2: a wrong option.
            """)

    @Option(
        help: """
            The mode whose rules are removed: iptables, ipvs or nftables; without it, those of all modes. The chains \
            that iptables and ipvs mode both have go with the mode that uses them.
            """)
    var mode: ProxyMode?

    @Option(help: "The families to clean: ipv4, ipv6 or both.")
    var family = FamilyChoice.both

    @Option(
        help: """
            The iptables variant to clean, legacy or nft, and nothing else: tables of nftables mode, virtual servers \
            and sets stay; without it, everything.
            """)
    var variant: IPTablesVariant?

    @Option(
        name: .customLong("ipvs-exclude-cidrs"), parsing: .upToNextOption,
        help: ArgumentHelp(
            "Ranges of addresses whose virtual servers are another program's and stay.", valueName: "cidr"))
    var excludedRanges: [CIDR] = []

    @Flag(help: "Prints what would be removed and removes nothing.")
    var dryRun = false

    func validate() throws {
        if variant != nil, mode == .nftables {
            throw ValidationError("--variant has no use with --mode nftables, which has no variants.")
        }
    }

    func run() async throws {
        var isComplete = true
        var hadWork = false
        let families = family.onThisNode("cleaned up")
        let isOfVariant = variant != nil
        if mode == nil || mode == .nftables, !isOfVariant { hadWork = await cleanNFTables(families, &isComplete) }
        if mode != .nftables { try await cleanIPTables(families, &isComplete, &hadWork) }
        // Rules go first, as they use the sets.
        if mode == nil || mode == .ipvs, !isOfVariant { await cleanIPVS(families, &isComplete, &hadWork) }
        if !hadWork, isComplete { Console.say("there is nothing to remove") }
        if !isComplete { throw ExitStatus.failed }
    }

    private func cleanIPTables(
        _ families: [IPFamily], _ isComplete: inout Bool, _ hadWork: inout Bool
    ) async throws {
        var seen: [IPTablesCleanup] = []
        for tools in await installedTools(families, &isComplete) {
            do throws(IPTablesError) {
                let applier = IPTablesApplier(tools: tools)
                let modes = mode.map { [$0] } ?? IPTablesCleanup.modes
                let cleanup = try await dryRun ? applier.planCleanup(modes) : applier.cleanUp(modes)
                seen.append(cleanup)
                hadWork = hadWork || cleanup.hasWork
                if dryRun { Console.write(cleanup.preview) } else { report(cleanup, &isComplete) }
            } catch {
                Console.error("\(error)")
                isComplete = false
            }
        }
        // Only rules of iptables mode count in them, and only there packets are routed to loopback.
        guard mode != .ipvs else { return }
        let objects = Accounting.existing(Accounting.objectNames)
        hadWork = hadWork || !objects.isEmpty
        if dryRun {
            for name in objects { Console.write("accounting object \(name)\n") }
        } else if !objects.isEmpty {
            await remove(objects, &isComplete)
        }
        await reportWhatStays(seen)
    }

    /// The programs of each variant and family asked for. One that is missing is a failure where it was asked for by
    /// name, or where there is none at all.
    private func installedTools(_ families: [IPFamily], _ isComplete: inout Bool) async -> [IPTablesTools] {
        var found: [IPTablesTools] = []
        var missing: [IPTablesError] = []
        for variant in variant.map({ [$0] }) ?? IPTablesVariant.allCases {
            for family in families {
                do throws(IPTablesError) {
                    found.append(try await IPTablesTools.find(family, variant))
                } catch {
                    missing.append(error)
                }
            }
        }
        if variant != nil || found.isEmpty {
            for error in missing { Console.error("\(error)") }
            isComplete = isComplete && missing.isEmpty
        }
        return found
    }

    private func report(_ cleanup: IPTablesCleanup, _ isComplete: inout Bool) {
        if cleanup.hasWork { Console.say("\(cleanup.place): removed \(cleanup.counts)") }
        for rule in cleanup.foreignRules {
            Console.error(
                "\(cleanup.place): chain \(rule.target) is emptied but not removed, as this rule of "
                    + "another program leads to it: \(rule)")
            isComplete = false
        }
    }

    private func remove(_ objects: [String], _ isComplete: inout Bool) async {
        let failures = await Accounting.remove(objects)
        let removed = objects.count - failures.count
        if removed > 0 { Console.say("removed \(removed.counted("accounting object"))") }
        for failure in failures {
            // What was not asked to be cleaned may still count.
            let isExpected = failure.isInUse && (variant != nil || family != .both)
            if isExpected { Console.note("\(failure)") } else { Console.error("\(failure)") }
            isComplete = isComplete && isExpected
        }
    }

    /// Says what of kube-proxy's doing is left on the node on purpose.
    private func reportWhatStays(_ seen: [IPTablesCleanup]) async {
        let guarded = seen.filter(\.hasLoopbackGuard)
        if !guarded.isEmpty {
            Console.note(
                "chain KUBE-FIREWALL stays with its rules and the jumps to it, as the kubelet uses "
                    + "it too (\(guarded.map(\.place).joined(separator: "; ")))")
        }
        guard family != .ipv6, await NodeFacts.routesLoopback() else { return }
        let isGuarded = seen.contains { $0.family == .ipv4 && $0.guardsLoopback }
        Console.note(
            "the kernel setting net.ipv4.conf.all.route_localnet stays 1, "
                + (isGuarded
                    ? "and KUBE-FIREWALL keeps other hosts from loopback addresses"
                    : "but no KUBE-FIREWALL keeps other hosts from loopback addresses"))
    }
}

extension IPTablesCleanup {
    /// What a dry run prints; nothing where there is nothing.
    fileprivate var preview: String {
        guard !tables.isEmpty else { return "" }
        var lines = ["\(place): \(counts)"]
        for table in tables {
            for jump in table.jumps { lines.append("  jump -t \(table.name.rawValue) \(jump)") }
            for chain in table.chains {
                let what = chain.isKept ? "only emptied " : ""
                lines.append(
                    "  \(what)chain -t \(table.name.rawValue) \(chain.name), \(chain.ruleCount.counted("rule"))")
            }
            for rule in table.foreignRules { lines.append("  kept: \(rule), a rule of another program") }
        }
        return lines.map { $0 + "\n" }.joined()
    }
}
