import Foundation
import Logging
import ProxyCore

/// The objects as they are known, and the rules of each family that follow from them.
///
/// One actor holds both, so that a change costs what it touches and no copy of the cluster is ever made. What takes
/// long, committing and comparing with the kernel, happens outside.
actor ClusterModel<Renderer: FamilyRenderer> {
    typealias Instant = ContinuousClock.Instant

    /// What is known of this node whatever the objects say.
    struct NodeSettings: Sendable {
        var configuration: ProxyConfiguration
        var mode: ProxyMode
        var nodeName: String
        /// How long the first sync waits for the Node object after everything else is there. kube-proxy waits 30 s.
        var nodeGrace: Duration
    }

    private let settings: NodeSettings
    private let logger: Logger
    private var state = ClusterState()
    /// This node as it was last known.
    private var node: Node?
    private var families: [IPFamily: FamilyRules<Renderer>] = [:]
    private var synced: Set<ObjectKind> = []
    private var interrupted: [ObjectKind: DaemonStatus.Interruption] = [:]
    /// When Services and EndpointSlices had both arrived.
    private var objectsKnownAt: Instant?
    private var hasWarnedOfNode = false

    init(_ settings: NodeSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    var mode: ProxyMode { settings.mode }

    /// Adds a family before anything is delivered.
    ///
    /// - Parameters:
    ///   - makeRules: begins its rules at the first sync.
    ///   - wakeUp: called when there is something new for it.
    func add(
        _ family: IPFamily, facts: HostFacts, makeRules: @escaping @Sendable (NodePlan, HostFacts) -> Renderer,
        wakeUp: @escaping @Sendable () -> Void
    ) {
        families[family] = FamilyRules(family, facts: facts, makeRules: makeRules, wakeUp: wakeUp)
    }
}

// MARK: - What comes in

extension ClusterModel {
    /// Takes over what a source reports.
    func take(_ update: SourceUpdate) {
        switch update {
        case .changes(let changes, let receivedAt): take(changes, receivedAt)
        case .complete(let kind):
            endInterruption(of: kind)
            guard synced.insert(kind).inserted else { return }
            logger.info("objects are known", metadata: ["kind": "\(kind.rawValue)"])
            if objectsKnownAt == nil, synced.isSuperset(of: [.service, .endpointSlice]) { objectsKnownAt = .now }
            for family in families.values { family.wakeUp() }
        case .diagnostic(let diagnostic):
            logger.log(diagnostic)
        case .interrupted(let kind, let reason):
            logger.warning("objects cannot be followed", metadata: ["kind": "\(kind.rawValue)", "reason": "\(reason)"])
            let since = interrupted[kind]?.since ?? Date()
            interrupted[kind] = .init(kind: kind, since: since, reason: reason)
        }
    }

    private func take(_ changes: [ObjectChange], _ receivedAt: Instant) {
        let ranges = state.serviceCIDRs
        for change in changes {
            endInterruption(of: change.kind)
            state.apply(change)
        }
        let touched = state.takeTouched()
        let isNodeChanged = takeNode()
        // Flows in a range that was not known may belong to a service that went while nobody looked.
        let areRangesChanged = state.serviceCIDRs != ranges
        guard !touched.isEmpty || isNodeChanged || areRangesChanged else { return }
        for name in families.keys {
            if areRangesChanged { families[name]?.flows.requireFullPass() }
            families[name]?.note(touched, isNodeChanged: isNodeChanged || areRangesChanged, receivedAt)
            families[name]?.wakeUp()
        }
    }

    private func endInterruption(of kind: ObjectKind) {
        guard interrupted.removeValue(forKey: kind) != nil else { return }
        logger.notice("objects are followed again", metadata: ["kind": "\(kind.rawValue)"])
    }

    /// Returns true if something has become known of this node.
    ///
    /// A Node that is registered anew is missing for a while, and then has no ranges for its pods for another. The pods
    /// are here all the time: what was known of the node holds until something else is known.
    private func takeNode() -> Bool {
        let before = node
        if var new = state.nodes[settings.nodeName] {
            if new.podCIDRs.isEmpty { new.podCIDRs = before?.podCIDRs ?? [] }
            node = new
            hasWarnedOfNode = false
        } else if before != nil, !hasWarnedOfNode {
            hasWarnedOfNode = true
            logger.warning(
                "the Node object is gone: what it said last holds", metadata: ["node": "\(settings.nodeName)"])
        }
        return node != before
    }

    /// Takes over what the host says of itself now.
    func take(_ facts: HostFacts, of family: IPFamily) {
        guard let known = families[family]?.facts, known != facts else { return }
        families[family]?.facts = facts
        families[family]?.note([], isNodeChanged: true, Instant.now)
        families[family]?.wakeUp()
    }
}

// MARK: - What goes out

extension ClusterModel {
    /// Whether a family can be synced, and since when something waits for that.
    struct Readiness: Sendable {
        var isReady: Bool
        /// When to ask again where nothing else happens before; nil if only a change of objects can change the answer.
        var askAgainAt: Instant?
        var pendingSince: Instant?
        var pendingCount: Int
    }

    func readiness(of family: IPFamily) -> Readiness {
        var askAgainAt: Instant?
        let isReady = isReady(&askAgainAt)
        let known = families[family]
        return Readiness(
            isReady: isReady, askAgainAt: askAgainAt, pendingSince: known?.pendingSince,
            pendingCount: (known?.touched.count ?? 0) + (known?.isNodeStale == true ? 1 : 0))
    }

    private func isReady(_ askAgainAt: inout Instant?) -> Bool {
        guard let objectsKnownAt else { return false }
        if settings.configuration.detectLocalMode == .nodeCIDR {
            // Without the pods' ranges every packet would be taken for a foreign one.
            return node?.podCIDRs.isEmpty == false
        }
        if node != nil { return true }
        let end = objectsKnownAt + settings.nodeGrace
        guard Instant.now >= end else {
            askAgainAt = end
            return false
        }
        if !hasWarnedOfNode {
            hasWarnedOfNode = true
            logger.warning(
                "the Node object is missing: the node's address is taken to be loopback, and it has no zone",
                metadata: ["node": "\(settings.nodeName)"])
        }
        return true
    }

    /// Plans and renders what has changed. Until `endSync` is called the rules of the family stay as they are, so that
    /// a change that comes meanwhile is not taken for committed.
    ///
    /// - Parameter finding: what was seen in the kernel.
    func beginSync(
        _ family: IPFamily, full: Bool, over finding: Renderer.Finding?
    ) -> SyncWork<Renderer.Batch>? {
        // Taken out meanwhile, so that it is changed in place.
        guard var rules = families.removeValue(forKey: family) else { return nil }
        defer { families[family] = rules }
        let node = NodePlan(
            settings.configuration, mode: settings.mode, family: family, nodeName: settings.nodeName,
            node: self.node, facts: rules.facts)
        return rules.beginSync(state, node, full: full, over: finding)
    }

    /// True if the next sync is one of everything, even where that is not asked for.
    func isEverythingPending(_ family: IPFamily) -> Bool { families[family]?.isEverythingPending ?? true }

    /// The kernel did not take what it was given.
    func syncFailed(_ family: IPFamily) { families[family]?.rules?.didFail() }

    /// The kernel has all but what it refused. Returns the flows that must be looked at now; nil if none.
    func syncEnded(_ family: IPFamily, without refusals: [Renderer.Refusal]) -> FlowQuery? {
        families[family]?.rules?.didCommit(without: refusals)
        guard let known = families[family], let node = known.rules?.node else { return nil }
        return families[family]?.flows.takeQuery(
            nodePortAddresses: node.nodePortAddresses(among: known.facts.addresses),
            serviceRanges: state.serviceCIDRs.values.flatMap(\.cidrs))
    }

    /// A query that has waited, with what is known by now.
    func refreshed(_ query: FlowQuery) -> FlowQuery { families[query.family]?.flows.refreshed(query) ?? query }

    /// What was committed last, for comparison with the kernel. Nil before the first sync.
    func audit(_ family: IPFamily) -> Renderer.Audit? { families[family]?.rules?.audit() }

    /// Reads something off the rules of a family; nil before the first sync.
    func read<Value: Sendable>(_ family: IPFamily, _ body: @Sendable (Renderer) -> Value) -> Value? {
        families[family]?.rules.map(body)
    }

    var source: (synced: [ObjectKind], interrupted: [DaemonStatus.Interruption]) {
        (
            ObjectKind.allCases.filter(synced.contains),
            ObjectKind.allCases.compactMap { interrupted[$0] }
        )
    }
}

extension ObjectChange {
    var kind: ObjectKind {
        switch self {
        case .service, .serviceDeleted: .service
        case .endpointSlice, .endpointSliceDeleted: .endpointSlice
        case .node, .nodeDeleted: .node
        case .serviceCIDR, .serviceCIDRDeleted: .serviceCIDR
        }
    }
}
