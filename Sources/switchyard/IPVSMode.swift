import BatchApplier
import ChainRenderer
import IPVSBackend
import ProxyCore
import SyncLoop

// What the commands do in ipvs mode.

extension ClusterInput {
    /// The virtual servers, sets, addresses and rules of a family.
    func ipvsTable(_ family: IPFamily, facts: HostFacts) -> IPVSTable {
        let (node, plans) = plans(.ipvs, family, facts: facts)
        var table = IPVSTable(IPVSSettings(node, configuration.ipvs, facts: facts))
        table.update(.init(changed: Array(plans.all)))
        return table
    }
}

extension Apply {
    /// Commits virtual servers, sets, addresses and the rules around them.
    func applyIPVS(_ input: ClusterInput, _ variant: IPTablesVariant) async throws {
        var isComplete = true
        for family in commit.family.onThisNode("committed") {
            do {
                let tools = try await IPTablesTools.find(family, variant)
                isComplete = try await applyIPVS(input, family, tools) && isComplete
            } catch let error as IPTablesError {
                Console.error("\(error)")
                isComplete = false
            } catch let error as IPVSError {
                Console.error("\(family.rawValue): \(error)")
                isComplete = false
            }
        }
        if !isComplete { throw ExitStatus.failed }
    }

    /// Returns whether the kernel took all of it.
    private func applyIPVS(_ input: ClusterInput, _ family: IPFamily, _ tools: IPTablesTools) async throws -> Bool {
        var table = input.ipvsTable(family, facts: await HostFacts(ofThisNode: tools))
        warnOfAddressesElsewhere(table, family)
        let committer = IPVSCommitter(tools: tools)
        let clock = ContinuousClock()
        let start = clock.now
        let found = try await committer.list(family)
        table.takeOver(.everything(found))
        if dryRun {
            guard let batch = table.nextBatch() else { return true }
            Console.write(batch.commands(on: found).map { $0 + "\n" }.joined())
            if let rules = batch.rules { Console.write(try await IPTablesApplier(tools: tools).dryRun(rules)) }
            return true
        }
        var report = IPVSCommitter.Report()
        var changed = 0
        if let batch = table.nextBatch() {
            changed = batch.serverChanges.count + batch.serverRemovals.count
            report = try await committer.commit(batch)
            table.didCommit(without: report.refusals)
        }
        // What was given weight 0 and has no connections goes now; the rest stays until it is applied again.
        table.takeOver(.servers(try await committer.look(at: table.serversToLookAt)))
        if let batch = table.nextBatch() { report.refusals = try await committer.commit(batch).refusals }
        for sentence in report.warnings { Console.warning("\(family.rawValue): \(sentence)") }
        for sentence in report.refusals.sentences {
            Console.error("\(family.rawValue): \(sentence)")
        }
        let milliseconds = (clock.now - start) / .milliseconds(1)
        Console.say(
            "\(family.rawValue): committed \(table.servicePortCount) service ports to ipvs in "
                + "\(Int(milliseconds.rounded())) ms; \(changed) changes to virtual servers")
        // Where virtual servers are missing, what served before goes on for them.
        if report.refusals.isEmpty { await removeRemains(family, of: input, servedBy: .ipvs(tools.variant)) }
        return report.refusals.isEmpty
    }

    /// A cluster IP that the node has anyway is left where it is, as an external IP may be; but nobody means it to be so.
    private func warnOfAddressesElsewhere(_ table: IPVSTable, _ family: IPFamily) {
        let elsewhere = ServiceDevice().addressesElsewhere()
        for address in table.clusterIPsElsewhere.keys.sorted(by: { $0.description < $1.description }) {
            guard let device = elsewhere[address] else { continue }
            Console.warning(
                "\(family.rawValue): the cluster IP \(address) is an address of the device \(device) "
                    + "too: it is served there and not put on \(ServiceDevice.kubeProxyName), and what the node has on "
                    + "its other ports can be reached through it")
        }
    }
}

extension DiffReport.Result {
    /// Adds how virtual servers, sets and addresses differ, before what the rules differ in.
    mutating func add(_ table: IPVSTable, found: IPVSKernelState) {
        let findings = table.differences(from: found).map(Finding.init)
        differences?.findings.insert(contentsOf: findings, at: 0)
        wantedServerCount = table.virtualServers.count
    }
}

extension Finding {
    fileprivate init(_ difference: IPVSDifference) {
        let kind: Kind =
            switch difference.kind {
            case .missing: .missing
            case .unexpected: .foreign
            case .changed: .changed
            }
        let table =
            switch difference.place {
            case .allServers, .server: "ipvs"
            case .allSets, .set: "ipset"
            case .device: "addresses"
            }
        self.init(
            kind: kind, service: difference.service?.description, table: table, chain: difference.place.description,
            detail: difference.detail, wanted: difference.wanted, found: difference.found)
    }
}

extension Cleanup {
    /// Takes away what ipvs mode has beside its rules.
    func cleanIPVS(_ families: [IPFamily], _ isComplete: inout Bool, _ hadWork: inout Bool) async {
        let cleaner = IPVSCleaner(excluding: excludedRanges)
        var isDeviceGone = false
        for family in families {
            do throws(IPVSError) {
                if dryRun {
                    var found = try await cleaner.find(family)
                    // It goes with the last addresses, those of the other family having gone before.
                    if families.count > 1, family == families.last { found.sharesDevice = false }
                    if isDeviceGone { found.hasDevice = false }
                    isDeviceGone = isDeviceGone || found.takesDevice
                    hadWork = hadWork || !found.isEmpty
                    Console.write(found.preview)
                } else {
                    let report = try await cleaner.remove(family)
                    hadWork = hadWork || !report.removed.isEmpty
                    if !report.removed.isEmpty {
                        Console.say("\(family.rawValue) ipvs: removed \(report.removed.summary)")
                    }
                    for failure in report.failures {
                        Console.error("\(family.rawValue) ipvs: \(failure)")
                        isComplete = false
                    }
                }
            } catch {
                Console.error("\(family.rawValue) ipvs: \(error)")
                isComplete = false
            }
        }
    }
}

extension IPVSRemains {
    /// What a dry run prints; nothing where there is nothing.
    fileprivate var preview: String {
        guard !isEmpty else { return "" }
        var lines = ["\(family.rawValue) ipvs: \(summary)"]
        lines += servers.keys.map {
            "  virtual server \($0.protocol.lowercaseName) \($0.address) port \($0.port)"
        }.sorted()
        lines += sets.map { "  set \($0)" }
        lines += addresses.map { "  address \($0)" }.sorted()
        return lines.map { $0 + "\n" }.joined()
    }
}
