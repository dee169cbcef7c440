/// What UDP flows to the services of one family may look like, and which destinations have changed so that flows to
/// them must be looked at. Only UDP: TCP and SCTP notice by themselves that their peer is gone, and deleting their
/// flows would cut connections that are still being finished.
///
/// In a sync: `update` with the state that is planned from; then, once the kernel has the rules, `takeQuery`; and
/// `putBack` if the flows of that query could not be cleaned. A destination that is given up stays in mind until then.
/// The cost of an update is that of the services touched, whatever the size of the cluster.
///
/// The endpoints that a flow may go to do not depend on traffic policies or topology: those choose for new flows, and
/// an endpoint that they stop choosing still answers. Every endpoint that is ready or serves counts, so one that
/// terminates keeps its flows while it serves, as in kube-proxy. Unlike there, one that is ready without serving
/// (`publishNotReadyAddresses`) counts, as new flows are sent to it; and a service without endpoints, or one that is
/// gone, does not keep its flows.
///
/// What nobody can know after a restart: that a flow to a former node port, external IP or load-balancer IP belonged to
/// a service that was deleted meanwhile. Former cluster IPs are recognised by the ranges they were given out from. A
/// service of another proxy has its cluster IP there too: its flows are made anew, once a full pass.
public struct FlowClaims: Sendable {
    public let family: IPFamily
    /// What each service with a UDP port has, and the endpoints for it.
    private var services: [ObjectName: [FlowDestination: Set<TransportAddress>]] = [:]
    /// The services that have a destination: nearly always one, but an external IP can be given to several.
    private var owners: [FlowDestination: [ObjectName]] = [:]
    private var pending: Set<FlowDestination> = []
    /// At the start nothing is known of the flows that there are.
    private var needsFullPass = true

    public init(family: IPFamily) {
        self.family = family
    }

    /// Takes over what changed of the touched services. The context must be of this family.
    public mutating func update(
        _ touched: some Sequence<ObjectName>, from state: ClusterState, in context: PlanContext
    ) {
        for name in touched {
            let new = state.services[name].map {
                Self.destinations(of: $0, slices: state.slices(of: name), family, context)
            }
            replace(name, with: new ?? [:])
        }
    }

    /// Takes everything over anew: the context has changed.
    public mutating func updateAll(from state: ClusterState, in context: PlanContext) {
        update(Set(services.keys).union(state.services.keys), from: state, in: context)
    }

    /// The next query is a full one: it is not known which flows were cleaned.
    public mutating func requireFullPass() {
        needsFullPass = true
    }

    /// What must be looked at because of all updates since the last call; nil if nothing. The first query is a full
    /// one.
    ///
    /// - Parameters:
    ///   - nodePortAddresses: see `NodePlan.nodePortAddresses(among:)`.
    ///   - serviceRanges: the ranges of all ServiceCIDRs.
    public mutating func takeQuery(nodePortAddresses: Set<IPAddress>, serviceRanges: [CIDR]) -> FlowQuery? {
        guard needsFullPass || !pending.isEmpty else { return nil }
        let isFull = needsFullPass
        var claims: [FlowDestination: FlowQuery.Claim] = [:]
        func look(at destination: FlowDestination) { claims[destination] = claim(on: destination) }
        func lookIfOwned(_ destination: FlowDestination) {
            if owners[destination] != nil { look(at: destination) }
        }
        for destination in pending {
            look(at: destination)
            // A node port and an external IP can be the same address and port; whose it is then is decided with both
            // in sight.
            switch destination {
            case .address(let end):
                if nodePortAddresses.contains(end.address) { lookIfOwned(.nodePort(end.port)) }
            case .nodePort(let port):
                for address in nodePortAddresses { lookIfOwned(.address(.init(address, port: port))) }
            }
        }
        if isFull {
            for destination in owners.keys { look(at: destination) }
        }
        pending = []
        needsFullPass = false
        return FlowQuery(
            family: family, claims: claims, nodePortAddresses: nodePortAddresses,
            serviceRanges: serviceRanges.filter { $0.family == family }, isFull: isFull)
    }

    /// The query's flows have not been cleaned, or not all of them: they belong to the next query.
    public mutating func putBack(_ query: FlowQuery) {
        // A full pass has everything that is owned anyway.
        for destination in query.claims.keys where !query.isFull || owners[destination] == nil {
            pending.insert(destination)
        }
        if query.isFull { needsFullPass = true }
    }

    /// A query that has waited before it is used, with what is known of its destinations by now: endpoints that were
    /// added meanwhile make no query of their own, and flows to them are not stale.
    ///
    /// What is known may be ahead of the kernel's rules. Flows that go by that too early are made anew by the old rules,
    /// and looked at again by the query of the sync that commits the new ones.
    public func refreshed(_ query: FlowQuery) -> FlowQuery {
        var destinations = Set(query.claims.keys)
        if query.isFull { destinations.formUnion(owners.keys) }
        let claims = destinations.map { ($0, claim(on: $0)) }
        return FlowQuery(
            family: family, claims: Dictionary(uniqueKeysWithValues: claims),
            nodePortAddresses: query.nodePortAddresses, serviceRanges: query.serviceRanges, isFull: query.isFull)
    }

    private func claim(on destination: FlowDestination) -> FlowQuery.Claim {
        guard let owners = owners[destination], let first = owners.first else { return .nobody }
        // Which of several services the rules prefer is theirs to decide; flows of all of them stay.
        var endpoints = services[first]?[destination] ?? []
        for owner in owners.dropFirst() { endpoints.formUnion(services[owner]?[destination] ?? []) }
        return .service(endpoints: endpoints)
    }

    private mutating func replace(_ service: ObjectName, with new: [FlowDestination: Set<TransportAddress>]) {
        let old = services[service] ?? [:]
        for destination in old.keys where new[destination] == nil {
            owners[destination]?.removeAll { $0 == service }
            if owners[destination]?.isEmpty == true { owners[destination] = nil }
            pending.insert(destination)
        }
        for (destination, endpoints) in new {
            guard let former = old[destination] else {
                owners[destination, default: []].append(service)
                pending.insert(destination)
                continue
            }
            // More endpoints beside those that were there make no flow stale.
            if former.isEmpty ? !endpoints.isEmpty : !former.isSubset(of: endpoints) { pending.insert(destination) }
        }
        services[service] = new.isEmpty ? nil : new
    }
}
