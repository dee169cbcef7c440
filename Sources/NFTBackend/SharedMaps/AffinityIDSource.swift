import ProxyCore

/// Gives ids to the service ports with affinity and to their endpoints.
///
/// An endpoint keeps its id as long as it stays in its service, whatever its place there; one that comes back has
/// another, so that no client is taken for one that it had before.
struct AffinityIDSource {
    private var services: AffinityIDPool
    private var endpoints: AffinityIDPool
    private let limit: UInt32
    /// True if ids were wanted when none was left. All must then be given anew, to a kernel whose clients were
    /// forgotten. With a day's memory of those given back, that takes a hundred new endpoints a second.
    private(set) var isExhausted = false

    /// - Parameter limit: how many ids each half has.
    init(limit: UInt32 = AffinityID.firstService - 1) {
        self.limit = limit
        services = AffinityIDPool(AffinityID.firstService...AffinityID.firstService + limit - 1)
        endpoints = AffinityIDPool(1...limit)
    }

    /// The ids of a service port that takes the place of `old`; nil without affinity.
    mutating func ids(
        of plan: ServicePlan, replacing old: ServiceEntry?, at now: ContinuousClock.Instant?
    ) -> AffinityIDs? {
        guard plan.affinitySeconds != nil else {
            if let old { giveBack(old) }
            return nil
        }
        var kept: [NFTEndpoint: AffinityID] = [:]
        if let old, let ids = old.ids {
            for (endpoint, id) in zip(old.plan.endpoints, ids.endpoints) {
                kept[NFTEndpoint(endpoint.address, endpoint.port)] = id
            }
        }
        let service = old?.ids?.service ?? take(\.services, now)
        var list: [AffinityID] = []
        list.reserveCapacity(plan.endpoints.count)
        for endpoint in plan.endpoints {
            list.append(
                kept.removeValue(forKey: NFTEndpoint(endpoint.address, endpoint.port)) ?? take(\.endpoints, now))
        }
        for id in kept.values { endpoints.giveBack(id) }
        return AffinityIDs(service: service, endpoints: list)
    }

    /// The ids of a service port of which an earlier run has given out some.
    mutating func ids(
        of plan: ServicePlan, service: AffinityID?, endpoints found: [NFTEndpoint: AffinityID]
    ) -> AffinityIDs {
        var found = found
        return AffinityIDs(
            service: service ?? take(\.services, nil),
            endpoints: plan.endpoints.map {
                found.removeValue(forKey: NFTEndpoint($0.address, $0.port)) ?? take(\.endpoints, nil)
            })
    }

    private mutating func take(
        _ pool: WritableKeyPath<Self, AffinityIDPool>, _ now: ContinuousClock.Instant?
    ) -> AffinityID {
        if let id = self[keyPath: pool].take(at: now) { return id }
        isExhausted = true
        return AffinityID(number: 0)
    }

    mutating func giveBack(_ entry: ServiceEntry) {
        guard let ids = entry.ids else { return }
        services.giveBack(ids.service)
        for id in ids.endpoints { endpoints.giveBack(id) }
    }

    /// Begins anew: nothing that was given out counts any more.
    mutating func forgetAll() { self = AffinityIDSource(limit: limit) }

    mutating func willCommit() {
        services.willCommit()
        endpoints.willCommit()
    }

    mutating func didCommit(at now: ContinuousClock.Instant) {
        services.didCommit(at: now)
        endpoints.didCommit(at: now)
    }

    mutating func didFind(_ id: AffinityID) {
        services.didFind(id)
        endpoints.didFind(id)
    }
}
