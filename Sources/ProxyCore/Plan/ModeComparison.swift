/// What would become of packets in another mode: the differences between two plans of one node, in one family.
///
/// A difference is something that a client sees: where a packet ends. Whether a source is masqueraded on the way is
/// not one.
public struct ModeComparison: Sendable {
    /// The plans of a mode.
    public struct Side: Sendable {
        public var mode: ProxyMode
        public var node: NodePlan
        public var plans: [ServicePortName: ServicePlan]

        public init(mode: ProxyMode, node: NodePlan, plans: some Sequence<ServicePlan>) {
            self.mode = mode
            self.node = node
            self.plans = Dictionary(plans.map { ($0.name, $0) }) { first, _ in first }
        }
    }

    /// A service port that is treated differently.
    public struct Difference: Hashable, Sendable {
        public var service: ServicePortName
        /// 0 where it is not about the node port.
        public var nodePort: UInt16
        public var sentence: String
    }

    /// What is so for every service, each as a sentence.
    public let general: [String]
    /// In the order of the service ports' names.
    public let differences: [Difference]

    /// - Parameters:
    ///   - local: the node's own addresses.
    ///   - serviceRanges: the cluster's ranges of cluster IPs in the family.
    public init(from old: Side, to new: Side, local: [IPAddress], serviceRanges: [CIDR]) {
        general = Self.general(old, new, serviceRanges)
        let family = old.node.family
        let addresses = Set(local.filter { $0.family == family } + [.loopback(family)])
            .map { ($0, $0.description) }.sorted { $0.1 < $1.1 }.map(\.0)
        differences = Set(old.plans.keys).union(new.plans.keys).sorted().flatMap { name -> [Difference] in
            guard let before = old.plans[name], let after = new.plans[name] else { return [] }
            return Self.differences(before, after, old, new, addresses)
        }
    }

    private static func general(_ old: Side, _ new: Side, _ serviceRanges: [CIDR]) -> [String] {
        func sides(_ property: (ModeTraits) -> Bool) -> (strict: Side, lenient: Side)? {
            let (before, after) = (property(old.node.context.traits), property(new.node.context.traits))
            return before == after ? nil : after ? (new, old) : (old, new)
        }
        var sentences: [String] = []
        if let (strict, lenient) = sides({ $0.guardsClusterIPs || $0.hasVirtualServers }), !strict.plans.isEmpty {
            sentences.append(
                "packets to a port of a cluster IP that its Service does not have are rejected in mode "
                    + "\(strict.mode.rawValue), and left alone in mode \(lenient.mode.rawValue)")
        }
        if let (strict, lenient) = sides(\.hasVirtualServers),
            strict.plans.values.contains(where: { !$0.externalIPs.isEmpty || !$0.loadBalancerIPs.isEmpty })
        {
            sentences.append(
                "packets to a port of an external IP or a load-balancer IP that its Service does not have are rejected "
                    + "in mode \(strict.mode.rawValue), and left alone in mode \(lenient.mode.rawValue)")
        }
        if let (strict, lenient) = sides(\.guardsClusterIPs), !serviceRanges.isEmpty {
            let ranges = serviceRanges.map(\.description).joined(separator: ", ")
            sentences.append(
                "packets to addresses of \(ranges) that no Service has are dropped in mode \(strict.mode.rawValue), "
                    + "and left alone in mode \(lenient.mode.rawValue)")
        }
        return sentences
    }

    private static func differences(
        _ before: ServicePlan, _ after: ServicePlan, _ old: Side, _ new: Side, _ addresses: [IPAddress]
    ) -> [Difference] {
        var found: [Difference] = []
        func note(_ sentence: String, nodePort: UInt16 = 0) {
            found.append(Difference(service: before.name, nodePort: nodePort, sentence: sentence))
        }
        if before.nodePort != 0 {
            let ways = [(before, old), (after, new)].map { plan, side in
                Set(addresses.filter { plan.answersNodePort(on: $0, side.node) })
            }
            let lost = addresses.filter { ways[0].contains($0) && !ways[1].contains($0) }
            let won = addresses.filter { !ways[0].contains($0) && ways[1].contains($0) }
            for (list, served, other) in [(lost, old, new), (won, new, old)] where !list.isEmpty {
                note(
                    "node port \(before.nodePort) answers on \(list.map(\.description).joined(separator: ", ")) in "
                        + "mode \(served.mode.rawValue), and not in mode \(other.mode.rawValue)",
                    nodePort: before.nodePort)
            }
        }
        if (before.sourceRanges == nil) != (after.sourceRanges == nil), !before.loadBalancerIPs.isEmpty {
            let (strict, lenient) = after.sourceRanges == nil ? (old, new) : (new, old)
            note(
                "without endpoints, clients outside the source ranges are dropped in mode \(strict.mode.rawValue), and "
                    + "rejected in mode \(lenient.mode.rawValue)")
        }
        func compare(_ subject: String, _ ways: [Outcome]) {
            guard let first = ways.first, let last = ways.last, first.end != last.end else { return }
            note(
                "\(subject) \(first.words) in mode \(old.mode.rawValue), and \(last.words) in mode \(new.mode.rawValue)"
            )
        }
        let both = [(before, old), (after, new)]
        compare("traffic to the cluster IP", both.map { plan, _ in Outcome(plan, plan.internalTraffic) })
        let outside = both.compactMap { plan, _ in plan.externalTraffic.map { Outcome(plan, $0.verdict) } }
        compare("external traffic", outside)
        let own = both.compactMap { plan, side in
            plan.externalTraffic.map { traffic in
                let isShort = traffic.shortCircuitsLocalSources && !side.node.context.traits.hasVirtualServers
                return Outcome(plan, isShort ? .balance(.cluster) : traffic.verdict)
            }
        }
        let senders = old.node.context.detectsLocalTraffic ? "this node and its pods" : "this node"
        compare("traffic of \(senders) to the external addresses and the node port", own)
        return found
    }
}

extension ServicePlan {
    /// True if packets to its node port on an address of the node meet a rule.
    fileprivate func answersNodePort(on address: IPAddress, _ node: NodePlan) -> Bool {
        guard let verdict = externalTraffic?.verdict else { return false }
        if case .balance = verdict { return node.servesNodePorts(on: address) }
        return node.context.traits.refusesNodePortsEverywhere || node.servesNodePorts(on: address)
    }
}

/// What becomes of packets under a verdict, and how that is said.
private struct Outcome {
    enum End: Hashable {
        /// None where there are none to be had, which is a rejection in every mode.
        case endpoints(Set<ServicePlan.Endpoint.Key>)
        case drop
    }

    let end: End
    let words: String

    init(_ plan: ServicePlan, _ verdict: ServicePlan.Verdict) {
        func pool(_ role: ServicePlan.Endpoint.Roles) -> Set<ServicePlan.Endpoint.Key> {
            Set(plan.endpoints.filter { $0.roles.contains(role) }.map(\.key))
        }
        switch verdict {
        case .drop: (end, words) = (.drop, "is dropped")
        case .reject: (end, words) = (.endpoints([]), "is rejected")
        case .balance(let chosen):
            let endpoints = pool(chosen == .cluster ? .cluster : .local)
            end = .endpoints(endpoints)
            words =
                endpoints.isEmpty
                ? "is rejected"
                : chosen == .cluster ? "goes to every endpoint" : "goes to the endpoints of this node alone"
        }
    }
}

extension ServicePlan.Endpoint {
    fileprivate struct Key: Hashable {
        var address: IPAddress
        var port: UInt16
    }

    fileprivate var key: Key { Key(address: address, port: port) }
}
