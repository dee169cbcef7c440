import BatchApplier
import IPVSBackend
import ProxyCore

// What the commands do in ipvs mode.

extension ClusterInput {
    /// The virtual servers, sets, addresses and rules of a family.
    func ipvsTable(_ family: IPFamily, facts: HostFacts) -> IPVSTable {
        let node = NodePlan(
            configuration, mode: .ipvs, family: family, nodeName: nodeName, node: node, facts: facts)
        var plans = PlanTable()
        var table = IPVSTable(IPVSSettings(node, configuration.ipvs, facts: facts))
        table.update(plans.updateAll(from: state, in: node.context))
        return table
    }
}

extension Apply {
    /// Commits virtual servers, sets, addresses and the rules around them.
    func applyIPVS(_ input: ClusterInput, _ variant: IPTablesVariant) async throws {
        var isComplete = true
        for family in family.onThisNode("committed") {
            do {
                let tools = try await IPTablesTools.find(family, variant)
                isComplete = try await applyIPVS(input, family, tools) && isComplete
            } catch let error as IPTablesError {
                Console.report("switchyard: error: \(error)")
                isComplete = false
            } catch let error as IPVSError {
                Console.report("switchyard: error: \(family.rawValue): \(error)")
                isComplete = false
            }
        }
        if !isComplete { throw ExitStatus.failed }
    }

    /// Returns whether the kernel took all of it.
    private func applyIPVS(_ input: ClusterInput, _ family: IPFamily, _ tools: IPTablesTools) async throws -> Bool {
        let table = input.ipvsTable(family, facts: await HostFacts(ofThisNode: tools))
        warnOfAddressesElsewhere(table, family)
        let committer = IPVSCommitter(tools: tools)
        let clock = ContinuousClock()
        let start = clock.now
        var batch = table.batch(from: try await committer.list(family))
        let changed = batch.serverChanges.count + batch.serverRemovals.count
        var report = try await committer.commit(batch)
        if !batch.serverRemovals.isEmpty {
            // What was given weight 0 and has no connections goes now; the rest stays until it is applied again. What was
            // refused is not tried again.
            let left = table.batch(from: try await committer.list(family))
            batch = IPVSBatch(family: family)
            batch.serverRemovals = left.serverRemovals
            batch.removedAddresses = left.removedAddresses
            batch.removedEntries = left.removedEntries
            report.refusals += try await committer.commit(batch).refusals
        }
        for sentence in report.warnings { Console.report("switchyard: warning: \(family.rawValue): \(sentence)") }
        for sentence in report.refusals { Console.report("switchyard: error: \(family.rawValue): \(sentence)") }
        let milliseconds = (clock.now - start) / .milliseconds(1)
        Console.report(
            "switchyard: \(family.rawValue): committed \(table.servicePortCount) service ports to ipvs in "
                + "\(Int(milliseconds.rounded())) ms; \(changed) changes to virtual servers")
        return report.refusals.isEmpty
    }

    /// A cluster IP that the node has anyway is left where it is, as an external IP may be; but nobody means it to be so.
    private func warnOfAddressesElsewhere(_ table: IPVSTable, _ family: IPFamily) {
        let elsewhere = ServiceDevice().addressesElsewhere()
        let clusterIPs = table.entries(.clusterIPs).compactMap { entry -> IPAddress? in
            if case .addressAndPort(let key) = entry { key.address } else { nil }
        }
        for address in Set(clusterIPs).sorted(by: { $0.description < $1.description }) {
            guard let device = elsewhere[address] else { continue }
            Console.report(
                "switchyard: warning: \(family.rawValue): the cluster IP \(address) is an address of the device \(device) "
                    + "too: it is served there and not put on \(ServiceDevice.kubeProxyName), and what the node has on "
                    + "its other ports can be reached through it")
        }
    }
}
