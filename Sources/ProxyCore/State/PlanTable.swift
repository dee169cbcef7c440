/// The plans of all service ports of one family, kept from sync to sync.
public struct PlanTable: Sendable {
    /// What an update changed.
    public struct Changes: Sendable {
        /// New plans and those that differ from before.
        public var changed: [ServicePlan] = []
        public var removed: [ServicePortName] = []

        public init(changed: [ServicePlan] = [], removed: [ServicePortName] = []) {
            self.changed = changed
            self.removed = removed
        }
    }

    private var plans: [ObjectName: [ServicePlan]] = [:]
    /// The endpoints of all service ports, usable or not.
    public private(set) var endpointCount = 0

    public init() {}

    /// Every plan, in no order.
    public var all: some Sequence<ServicePlan> { plans.values.lazy.joined() }

    /// Plans the touched services anew and keeps the others.
    public mutating func update(
        _ touched: some Sequence<ObjectName>, from state: ClusterState, in context: PlanContext
    ) -> Changes {
        var changes = Changes()
        for name in touched {
            let new = state.services[name].map {
                ServicePlanner.plans(for: $0, slices: state.slices(of: name), in: context)
            }
            replace(name, with: new ?? [], &changes)
        }
        return changes
    }

    /// Plans everything anew: the context has changed.
    public mutating func updateAll(from state: ClusterState, in context: PlanContext) -> Changes {
        update(Set(plans.keys).union(state.services.keys), from: state, in: context)
    }

    private mutating func replace(_ service: ObjectName, with new: [ServicePlan], _ changes: inout Changes) {
        let old = plans[service] ?? []
        for plan in new where !old.contains(plan) { changes.changed.append(plan) }
        for plan in old where !new.contains(where: { $0.name == plan.name }) { changes.removed.append(plan.name) }
        endpointCount += new.reduce(0) { $0 + $1.endpointCount } - old.reduce(0) { $0 + $1.endpointCount }
        plans[service] = new.isEmpty ? nil : new
    }
}
