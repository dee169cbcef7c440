import BatchApplier
import ChainRenderer
import NFTBackend
import ProxyCore
import SyncLoop

// What the commands do in nftables mode.

extension NFTKernelTable {
    /// No table at all.
    static func empty(_ family: IPFamily) -> NFTKernelTable {
        NFTKernelTable(identity: .init(family: family, name: NFTablesNames.sharedMaps, comment: nil))
    }
}

extension ClusterInput {
    /// The layout of shared maps, with nothing committed of it.
    func sharedMaps(_ family: IPFamily, facts: HostFacts, serviceCounters: Bool) -> SharedMapsTable {
        let (node, plans) = plans(.nftables, family, facts: facts)
        var table = SharedMapsTable(
            node: node, serviceRanges: state.serviceRanges(family),
            options: .init(perServiceCounters: serviceCounters))
        // The ids of affinity are given in this order: equal runs are to give equal text.
        table.update(.init(changed: plans.all.sorted { $0.name < $1.name }))
        return table
    }

    /// The table of a family as lines that `nft -f` reads.
    func nftablesText(_ family: IPFamily, facts: HostFacts, options: NFTOptions) -> [UInt8] {
        let (table, elements, counters) = nftablesRuleset(family, facts: facts, options: options)
        var writer = NFTTextWriter()
        writer.write(table, elements: elements, counters: counters)
        return writer.text
    }

    /// The lines that put the table of the layout kube-proxy in the place of every table of ours, in one transaction.
    func kubeProxyReplacement(_ family: IPFamily, facts: HostFacts) -> (text: [UInt8], servicePortCount: Int) {
        let (node, table) = plans(.nftables, family, facts: facts)
        let plans = Array(table.all)
        let (ruleset, elements) = KubeProxyLayout.ruleset(
            node: node, plans: plans, serviceRanges: state.serviceRanges(family))
        var writer = NFTTextWriter()
        // A table is added first so that deleting it is not refused where it was not there.
        writer.write(
            NFTTransaction(
                ruleset.identity,
                [
                    .addTable, .deleteTable(name: ruleset.identity.name),
                    .addOtherTable(name: NFTablesNames.sharedMaps), .deleteTable(name: NFTablesNames.sharedMaps),
                ]))
        writer.write(ruleset, elements: elements)
        return (writer.text, plans.count)
    }

    /// The table of a family as the kernel would have it, with counters that have counted nothing.
    func nftablesTable(_ family: IPFamily, facts: HostFacts, options: NFTOptions) -> NFTKernelTable {
        let (table, elements, counters) = nftablesRuleset(family, facts: facts, options: options)
        return NFTKernelTable(compiling: table, elements: elements, counters: counters)
    }

    private func nftablesRuleset(
        _ family: IPFamily, facts: HostFacts, options: NFTOptions
    ) -> (table: NFTTable, elements: [NFTElement], counters: [String]) {
        switch options.layout ?? .sharedMaps {
        case .sharedMaps:
            let table = sharedMaps(family, facts: facts, serviceCounters: options.serviceCounters)
            let (structure, elements) = table.ruleset()
            return (structure, elements, table.counterNames)
        case .kubeProxy:
            let (node, plans) = plans(.nftables, family, facts: facts)
            let (table, elements) = KubeProxyLayout.ruleset(
                node: node, plans: plans.all, serviceRanges: state.serviceRanges(family))
            return (table, elements, [])
        }
    }
}

extension Apply {
    /// Commits the rules of nftables mode, and takes away what other modes have left once they are there.
    func applyNFTables(_ input: ClusterInput) async throws {
        do throws(NFTablesError) {
            // What holds for both families is said once.
            if !dryRun { _ = try await NFTablesApplier().generation() }
        } catch {
            Console.error("\(error)")
            throw ExitStatus.failed
        }
        var failed = false
        for family in commit.family.onThisNode("committed") {
            do {
                switch nftables.layout ?? .sharedMaps {
                case .sharedMaps: try await applySharedMaps(input, family)
                case .kubeProxy: try await applyKubeProxyLayout(input, family)
                }
                if !dryRun { await removeRemains(family, of: input, servedBy: .nftables) }
            } catch let error as NFTProgramError {
                Console.error("\(family.rawValue): \(error)")
                failed = true
            } catch let error as NFTablesError {
                Console.error("\(family.rawValue): \(error)")
                failed = true
            }
        }
        if failed { throw ExitStatus.failed }
    }

    private func applySharedMaps(_ input: ClusterInput, _ family: IPFamily) async throws {
        var table = input.sharedMaps(
            family, facts: await HostFacts(ofThisNode: NodeAccess()), serviceCounters: nftables.serviceCounters)
        let applier = NFTablesApplier()
        let dump = try await applier.read(family, table: NFTablesNames.sharedMaps, withElements: true)
        if let dump { table.takeOver(NFTKernelTable(dump, family)) }
        guard let transaction = table.nextTransaction() else { return }
        if dryRun {
            var writer = NFTTextWriter()
            writer.write(transaction)
            Console.write(writer.text)
            return
        }
        let clock = ContinuousClock()
        let start = clock.now
        let batch = NFTablesBatch(transaction)
        do throws(NFTablesError) {
            _ = try await applier.commit(batch)
        } catch {
            throw error.naming(objectOf: batch)
        }
        didCommit(table.servicePortCount, family, in: clock.now - start)
    }

    /// The kernel is told by nft, as the layout is there as text.
    private func applyKubeProxyLayout(_ input: ClusterInput, _ family: IPFamily) async throws {
        let (text, count) = input.kubeProxyReplacement(family, facts: await HostFacts(ofThisNode: NodeAccess()))
        if dryRun { return Console.write(text) }
        let program = try NFTProgram.find()
        let clock = ContinuousClock()
        let start = clock.now
        try await program.commit(text)
        didCommit(count, family, in: clock.now - start)
    }

    private func didCommit(_ servicePortCount: Int, _ family: IPFamily, in duration: Duration) {
        let milliseconds = duration / .milliseconds(1)
        Console.say(
            "\(family.rawValue): committed \(servicePortCount) service ports to nftables in "
                + "\(Int(milliseconds.rounded())) ms")
    }
}

extension Diff {
    /// Compares the table of nftables mode in the kernel with the one that is wanted.
    func compareNFTables(_ input: ClusterInput, _ families: [IPFamily]) async -> [DiffReport.Result] {
        var results: [DiffReport.Result] = []
        for family in families {
            do throws(NFTablesError) {
                let facts = await HostFacts(ofThisNode: NodeAccess())
                let layout = nftables.layout ?? .sharedMaps
                let dump = try await NFTablesApplier().read(family, table: layout.tableName, withElements: true)
                let found = dump.map { NFTKernelTable($0, family, table: layout.tableName) }
                let differences =
                    switch layout {
                    case .sharedMaps:
                        RuleDifferences(
                            input.sharedMaps(family, facts: facts, serviceCounters: nftables.serviceCounters), found)
                    case .kubeProxy:
                        RuleDifferences(input.nftablesTable(family, facts: facts, options: nftables), found)
                    }
                results.append(.init(family: family, differences: differences))
            } catch {
                Console.error("\(family.rawValue): the rules could not be compared: \(error)")
                results.append(.init(family: family, differences: nil))
            }
        }
        return results
    }
}

extension RuleDifferences {
    fileprivate init(_ table: SharedMapsTable, _ found: NFTKernelTable?) {
        var table = table
        // Ids depend on what was before, and any will do.
        if let found { table.adoptIDs(from: found) }
        self.init(table.kernelTable(), found)
    }

    fileprivate init(_ wanted: NFTKernelTable, _ found: NFTKernelTable?) {
        let table = wanted.identity.name
        let count = wanted.chains.reduce(0) { $0 + $1.rules.count } + wanted.sets.reduce(0) { $0 + $1.elements.count }
        guard let found else {
            let finding = Finding(kind: .missing, table: table, detail: "the whole table")
            self.init(findings: [finding], wantedRuleCount: count)
            return
        }
        self.init(
            findings: NFTComparison.differences(wanted: wanted, found: found).map { Finding($0, table) },
            wantedRuleCount: count)
    }
}

extension Finding {
    fileprivate init(_ difference: NFTDifference, _ table: String) {
        let kind: Kind =
            switch difference.kind {
            case .missing: .missing
            case .unexpected: .foreign
            case .changed: .changed
            }
        let detail = difference.object + (difference.detail.map { ": \($0)" } ?? "")
        self.init(kind: kind, service: difference.service, table: table, detail: detail)
    }
}

extension Cleanup {
    /// Deletes the tables of nftables mode, ours and kube-proxy's. Returns whether there were any.
    func cleanNFTables(_ families: [IPFamily], _ isComplete: inout Bool) async -> Bool {
        var hadWork = false
        for family in families {
            for removal in await NFTablesRemains.remove(family, isDryRun: dryRun) {
                hadWork = true
                if let failure = removal.failure {
                    Console.error("\(family.rawValue): table \(removal.table): \(failure)")
                    isComplete = false
                } else if dryRun {
                    Console.write("\(family.rawValue) nftables table \(removal.table)\n")
                } else {
                    Console.say("\(family.rawValue) nftables: removed table \(removal.table)")
                }
            }
        }
        return hadWork
    }
}
