/// The endpoints of one service port, merged from its slices and chosen by policy.
///
/// Readiness, the fall-back to endpoints that serve while they terminate, and topology hints are as KEP-1669, KEP-1672,
/// KEP-2433 and KEP-3015 have them.
struct EndpointSelection {
    fileprivate struct Candidate {
        var text: EndpointText
        var address: IPAddress
        var port: UInt16
        var conditions: EndpointSlice.Conditions
        var isLocal: Bool
        var hints: HintState
        /// Of the slice among the slices, and of the entry among all entries.
        var slice: Int
        var place: Int

        /// Of two entries for one endpoint the higher is right: one that is not terminating, else one that is ready.
        ///
        /// An endpoint that moves between slices stands in both for a while, with conditions of different age.
        private var rank: Int {
            (conditions.contains(.terminating) ? 0 : 8) + (conditions.contains(.ready) ? 4 : 0)
                + (conditions.contains(.serving) ? 2 : 0) + (isLocal ? 1 : 0)
        }

        /// True if this is right and not an earlier entry for the same endpoint. Within a slice, kube-proxy has an entry
        /// that is not terminating replace those before it.
        func replaces(_ earlier: Candidate) -> Bool {
            slice == earlier.slice ? !conditions.contains(.terminating) : rank > earlier.rank
        }

        var isReady: Bool { conditions.contains(.ready) }
        var servesWhileTerminating: Bool { conditions.isSuperset(of: [.serving, .terminating]) }
    }

    fileprivate struct HintState: OptionSet {
        let rawValue: UInt8
        static let hasNodes = HintState(rawValue: 1)
        static let namesThisNode = HintState(rawValue: 2)
        static let hasZones = HintState(rawValue: 4)
        static let namesThisZone = HintState(rawValue: 8)
    }

    private(set) var endpoints: [ServicePlan.Endpoint] = []
    /// True if an endpoint anywhere in the cluster can be used.
    private(set) var hasEndpoints = false
    private(set) var hasLocalEndpoints = false
    /// Endpoints in all, usable or not.
    private(set) var count = 0

    /// Chooses among the endpoints that `slices` give to a service port.
    ///
    /// - Parameters:
    ///   - usesCluster: whether any traffic is spread over the cluster's endpoints.
    ///   - usesLocal: whether any traffic is spread over this node's endpoints only.
    init(
        slices: some Sequence<EndpointSlice>, name: ServicePortName, usesCluster: Bool, usesLocal: Bool,
        in context: PlanContext
    ) {
        let candidates = Self.merge(slices, name, context)
        count = candidates.count
        guard !candidates.isEmpty else { return }

        let ready = candidates.contains(where: \.isReady)
        hasEndpoints = ready || candidates.contains(where: \.servesWhileTerminating)
        let requiredHint = usesCluster ? Self.requiredHint(candidates) : []
        let readyLocal = candidates.contains { $0.isLocal && $0.isReady }

        endpoints.reserveCapacity(candidates.count)
        for candidate in candidates {
            var roles: ServicePlan.Endpoint.Roles = []
            if usesCluster {
                let chosen =
                    ready
                    ? candidate.isReady && candidate.hints.isSuperset(of: requiredHint)
                    : candidate.servesWhileTerminating
                if chosen { roles.insert(.cluster) }
            }
            if usesLocal, candidate.isLocal,
                readyLocal ? candidate.isReady : candidate.servesWhileTerminating
            {
                roles.insert(.local)
                hasLocalEndpoints = true
            }
            switch context.traits.hairpin {
            case .reachable where !roles.isEmpty: roles.insert(.hairpin)
            case .reachableLocal where !roles.isEmpty && candidate.isLocal: roles.insert(.hairpin)
            case .everyLocal where candidate.isLocal: roles.insert(.hairpin)
            default: break
            }
            guard !roles.isEmpty else { continue }
            endpoints.append(.init(address: candidate.address, port: candidate.port, roles: roles))
        }
    }

    /// All endpoints of the port, each once, in their order.
    private static func merge(
        _ slices: some Sequence<EndpointSlice>, _ name: ServicePortName, _ context: PlanContext
    ) -> [Candidate] {
        var candidates: [Candidate] = []
        for (index, slice) in slices.enumerated() where slice.family == context.family {
            for port in slice.ports where port.name == name.port && port.protocol == name.protocol {
                candidates.reserveCapacity(candidates.count + slice.endpoints.count)
                for endpoint in slice.endpoints {
                    let place = candidates.count
                    candidates.append(
                        Self.candidate(endpoint, port: port.number, slice: index, place: place, context))
                }
            }
        }
        candidates.sort { $0.text == $1.text ? $0.place < $1.place : $0.text < $1.text }
        // What each slice says of an endpoint comes before what the slices say together.
        candidates.keepOne { $0.text == $1.text && $0.slice == $1.slice }
        candidates.keepOne { $0.text == $1.text }
        return candidates
    }

    private static func candidate(
        _ endpoint: EndpointSlice.Endpoint, port: UInt16, slice: Int, place: Int, _ context: PlanContext
    ) -> Candidate {
        var hints: HintState = []
        if !endpoint.nodeHints.isEmpty {
            hints.insert(.hasNodes)
            if endpoint.nodeHints.contains(context.nodeName) { hints.insert(.namesThisNode) }
        }
        if !endpoint.zoneHints.isEmpty {
            hints.insert(.hasZones)
            if endpoint.zoneHints.contains(context.zone) { hints.insert(.namesThisZone) }
        }
        return Candidate(
            text: EndpointText(endpoint.address, port: port), address: endpoint.address, port: port,
            conditions: endpoint.conditions,
            isLocal: !endpoint.nodeName.isEmpty && endpoint.nodeName == context.nodeName, hints: hints,
            slice: slice, place: place)
    }

    /// The hint that an endpoint needs to be used: this node's, else this zone's, if every ready endpoint has hints of
    /// the kind and at least one has this.
    private static func requiredHint(_ candidates: [Candidate]) -> HintState {
        var all: HintState = [.hasNodes, .hasZones]
        var any: HintState = []
        for candidate in candidates where candidate.isReady {
            all.formIntersection(candidate.hints)
            any.formUnion(candidate.hints)
        }
        if all.contains(.hasNodes), any.contains(.namesThisNode) { return .namesThisNode }
        if all.contains(.hasZones), any.contains(.namesThisZone) { return .namesThisZone }
        return []
    }
}

extension [EndpointSelection.Candidate] {
    /// Leaves one of each run of entries that are the same.
    fileprivate mutating func keepOne(of isSame: (Element, Element) -> Bool) {
        guard count > 1 else { return }
        var kept = 0
        for index in 1..<count {
            if !isSame(self[kept], self[index]) {
                kept += 1
            } else if !self[index].replaces(self[kept]) {
                continue
            }
            if kept != index { self[kept] = self[index] }
        }
        removeLast(count - kept - 1)
    }
}
