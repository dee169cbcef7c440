import BatchApplier
import BenchSupport
import IPVSBackend
import ProxyCore

/// Everything, once, into a network namespace that has nothing yet. It prints the milliseconds of its steps.
///
/// A process has one round: the kernel remembers for two minutes what was deleted, and looks through it with each addition.
struct SyncRound {
    enum Kind: String {
        /// As the daemon does it, in one commit.
        case whole
        /// In a commit for each of its parts.
        case parts
        case programs

        init(word words: [String]) throws {
            guard words.count > 1, let kind = Kind(rawValue: words[1]) else { throw Failure("a round of what?") }
            self = kind
        }
    }

    let kind: Kind
    let services: Int

    func run() async throws {
        var cluster = try await ServedCluster(services: services)
        let start = ContinuousClock.now
        let plans = cluster.plan()
        report("plan", since: start)
        let begin = ContinuousClock.now
        cluster.update(plans)
        let batch = try cluster.nextBatch()
        report("batch", since: begin)
        switch kind {
        case .whole:
            let begin = ContinuousClock.now
            try await cluster.commit(batch)
            report("commit", since: begin)
            let committed = ContinuousClock.now
            _ = try await cluster.list()
            report("list", since: committed)
        case .parts:
            for (name, part) in batch.parts {
                let begin = ContinuousClock.now
                try await cluster.commit(part)
                report(name, since: begin)
            }
        case .programs:
            let rules = try await rules(batch)
            let programs = RestorePrograms(cluster.table, rules: rules)
            for program in [RestorePrograms.Program.ipset, .ipvsadm] {
                print("idle-\(program.rawValue)", try programs.runIdle(program))
            }
            for program in RestorePrograms.Program.allCases { print(program.rawValue, try programs.run(program)) }
        }
        try await cluster.check()
    }

    private func rules(_ batch: IPVSBatch) async throws -> String {
        let applier = IPTablesApplier(tools: try await IPTablesTools.find(.ipv4, .legacy))
        guard let rules = batch.rules else { throw Failure("there are no rules") }
        return String(decoding: try await applier.dryRun(rules), as: UTF8.self)
    }

    private func report(_ name: String, since start: ContinuousClock.Instant) {
        print(name, (ContinuousClock.now - start).inMilliseconds)
    }
}

extension IPVSBatch {
    /// Commits that together are this one, by the names of what they make.
    fileprivate var parts: [(String, IPVSBatch)] {
        var sets = IPVSBatch(family: family)
        sets.neededSets = neededSets
        sets.addedEntries = addedEntries
        var rules = IPVSBatch(family: family)
        rules.rules = self.rules
        var servers = IPVSBatch(family: family)
        servers.serverChanges = serverChanges
        var addresses = IPVSBatch(family: family)
        addresses.addedAddresses = addedAddresses
        return [("sets", sets), ("rules", rules), ("servers", servers), ("addresses", addresses)]
    }
}
