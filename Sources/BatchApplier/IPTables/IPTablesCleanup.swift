public import ProxyCore

/// What is ours in the tables of one family and variant, and what becomes of it when a node is cleaned.
///
/// Foreign rules stay, those among them that lead to a chain of ours; such a chain can only be emptied.
///
/// iptables mode and ipvs mode have chains of the same names. Where one of the two is cleaned up, those go that it
/// serves by.
public struct IPTablesCleanup: Hashable, Sendable {
    /// A chain of ours.
    public struct Chain: Hashable, Sendable {
        public var name: String
        public var ruleCount: Int
        /// True if a foreign rule leads to it, so that it is emptied and stays.
        public var isKept: Bool
    }

    /// A rule as iptables-save prints it, with its table.
    public struct ForeignRule: Hashable, Sendable, CustomStringConvertible {
        public var table: IPTablesBatch.TableName
        /// From `-A CHAIN` on.
        public var text: String
        /// The chain of ours that it leads to.
        public var target: String

        public var description: String { "-t \(table.rawValue) \(text)" }
    }

    /// What there is in one table.
    public struct Table: Hashable, Sendable {
        public var name: IPTablesBatch.TableName
        public var chains: [Chain]
        /// Rules of built-in chains that lead to chains of ours and have the shape of kube-proxy's jumps.
        var removedJumps: [IPTablesInput.RemovedRule]
        public var foreignRules: [ForeignRule]

        /// The jumps that go, from `-A CHAIN` on.
        public var jumps: [String] { removedJumps.map { String(decoding: $0.rule.text, as: UTF8.self) } }
        /// The rules that go, apart from the jumps.
        public var ruleCount: Int { chains.reduce(0) { $0 + $1.ruleCount } }
        /// False where nothing is left but emptied chains that foreign rules lead to.
        public var hasWork: Bool { !removedJumps.isEmpty || chains.contains { !$0.isKept || $0.ruleCount > 0 } }
    }

    public var variant: IPTablesVariant
    public var family: IPFamily
    /// Those that have something of ours, in the order of commit.
    public var tables: [Table]
    /// True if KUBE-FIREWALL is there, which is the kubelet's too and stays.
    public var hasLoopbackGuard: Bool
    /// True if packets from outside reach KUBE-FIREWALL and it has a rule for them.
    public var guardsLoopback: Bool

    public var hasWork: Bool { tables.contains(where: \.hasWork) }
    public var foreignRules: [ForeignRule] { tables.flatMap(\.foreignRules) }
}

extension IPTablesCleanup {
    /// The modes that leave chains in the tables of iptables.
    public static let modes: Set<ProxyMode> = [.iptables, .ipvs]

    /// - Parameters:
    ///   - modes: those whose chains go.
    ///   - state: the tables as they are; those that are not there have nothing of ours.
    init(of modes: Set<ProxyMode>, in state: IPTablesState, _ tools: IPTablesTools) {
        variant = tools.variant
        family = tools.family
        // Those of ipvs mode always lead to KUBE-NODE-PORT; those of iptables mode lead nowhere where it has no services.
        let takesShared = modes.contains(state.servingMode ?? .iptables)
        tables = IPTablesBatch.TableName.allCases.compactMap { name in
            let former = state[name.rawValue].map { Table(name, $0, of: modes, takesShared: takesShared) }
            guard let former, !former.chains.isEmpty || !former.removedJumps.isEmpty else { return nil }
            return former
        }
        let filter = state[IPTablesBatch.TableName.filter.rawValue]
        let loopbackGuard = filter?[IPTablesChainNames.loopbackGuard]
        hasLoopbackGuard = loopbackGuard != nil
        let isReached = filter?["INPUT"]?.rules.contains { rule in
            RuleClauses(rule).target == IPTablesChainNames.loopbackGuard
        }
        guardsLoopback = isReached == true && loopbackGuard?.rules.isEmpty == false
    }
}

extension IPTablesCleanup.Table {
    fileprivate init(
        _ name: IPTablesBatch.TableName, _ table: IPTablesState.Table, of modes: Set<ProxyMode>, takesShared: Bool
    ) {
        func goes(_ chain: String) -> Bool {
            OwnedChains.contains(chain, in: name)
                && (OwnedChains.mode(of: chain, in: name).map(modes.contains) ?? takesShared)
        }
        let owned = Set(table.chains.map(\.name).filter(goes))
        self.name = name
        removedJumps = []
        foreignRules = []
        for chain in table.chains where !owned.contains(chain.name) {
            for (index, rule) in chain.rules.enumerated() {
                guard let target = rule.target.map({ String(decoding: $0, as: UTF8.self) }),
                    OwnedChains.contains(target, in: name)
                else { continue }
                let clauses = RuleClauses(rule)
                let isJump = chain.isBuiltIn && OwnedChains.isJump(clauses)
                if isJump, owned.contains(target) || OwnedChains.mode(ofJump: clauses).map(modes.contains) == true {
                    removedJumps.append(.init(chain: chain.name, index: index, rule: rule))
                } else if owned.contains(target) {
                    let text = String(decoding: rule.text, as: UTF8.self)
                    foreignRules.append(.init(table: name, text: text, target: target))
                }
            }
        }
        let kept = Set(foreignRules.map(\.target))
        chains = table.chains.filter { owned.contains($0.name) }.map {
            .init(name: $0.name, ruleCount: $0.rules.count, isKept: kept.contains($0.name))
        }
    }
}

extension IPTablesApplier {
    /// Removes every chain and jump of modes from the tables of the tools' family and variant, and nothing else.
    ///
    /// Returns what there was. Makes no table that is not there.
    public func cleanUp(
        _ modes: Set<ProxyMode> = IPTablesCleanup.modes
    ) async throws(IPTablesError) -> IPTablesCleanup {
        try await cleanUp { _ in modes }
    }

    /// - Parameter modes: those whose chains go, by the mode that serves.
    func cleanUp(
        _ modes: @Sendable @escaping (ProxyMode?) -> Set<ProxyMode>
    ) async throws(IPTablesError) -> IPTablesCleanup {
        let tables = await tablesInUse()
        let tools = tools
        let work = Work(operation: "clean the tables \(tables.list)", tables: tables) { before in
            let cleanup = IPTablesCleanup(of: modes(before.servingMode), in: before, tools)
            return (IPTablesInput(cleanup, before: before, variant: tools.variant), cleanup)
        }
        return try await perform(work) { cleanup, _, _ in cleanup }
    }

    /// What `cleanUp` would remove now.
    public func planCleanup(
        _ modes: Set<ProxyMode> = IPTablesCleanup.modes
    ) async throws(IPTablesError) -> IPTablesCleanup {
        IPTablesCleanup(of: modes, in: try await readPatiently(await tablesInUse()), tools)
    }

    /// The tables that can be read without being made by it.
    ///
    /// iptables-nft-save makes none. iptables-legacy-save makes the one that it is asked for; the kernel lists those
    /// that this network namespace has, and has no list where the module is not loaded.
    func tablesInUse() async -> [IPTablesBatch.TableName] {
        guard tools.variant == .legacy else { return IPTablesBatch.TableName.allCases }
        let names = await access.readFile("/proc/net/\(tools.family.procTableNames)") ?? ""
        let present = Set(names.split(separator: "\n").map(String.init))
        return IPTablesBatch.TableName.allCases.filter { present.contains($0.rawValue) }
    }
}
