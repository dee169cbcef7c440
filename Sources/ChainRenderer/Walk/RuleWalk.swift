public import ProxyCore

/// A packet's way through the tables and chains of a rule set, as the kernel takes it there.
///
/// Rules of others are walked like ours. Only a connection's first packet is followed: connection tracking calls it NEW,
/// and no list of the module `recent` has its address. A rule with a match that the packet alone does not decide is
/// taken not to match, and the result says so.
public struct RuleWalk {
    private let rules: ParsedRules
    private let local: LocalAddresses
    private let servers: WalkedServers?

    /// - Parameters:
    ///   - local: the node's own addresses, without those of `kube-ipvs0`.
    ///   - servers: the virtual servers and sets of ipvs mode; nil in iptables mode.
    public init(_ rules: RuleSet, local: LocalAddresses, servers: WalkedServers? = nil) {
        self.rules = ParsedRules(rules)
        self.local = servers.map { local.adding($0.state.addresses ?? []) } ?? local
        self.servers = servers
    }

    /// Follows the packet. Its family must be the rules'.
    public func walk(_ packet: Packet, order: WalkOrder) -> RuleWalkResult {
        var journey = Journey(rules: rules, local: local, servers: servers)
        switch order {
        case .host where local.contains(packet.source): walkFromNode(packet, &journey)
        case .host: walkArriving(packet, &journey)
        case .tracer: walkTracer(packet, &journey)
        }
        return journey.result
    }

    // MARK: The order of a host

    /// A packet that comes in by an interface. The order of the tables in a hook is that of the priorities in
    /// netfilter_ipv4.h.
    private func walkArriving(_ packet: Packet, _ journey: inout Journey) {
        var traveller = Traveller(packet)
        traveller.output = .none
        let travellers = journey.enter("PREROUTING", ["raw", "mangle", "nat"], [traveller])
        deliver(travellers.filter { local.contains($0.destination) }, translatesSource: true, &journey)
        var forwarded = travellers.filter { !local.contains($0.destination) }
        for index in forwarded.indices { forwarded[index].output = .unknown }
        forwarded = journey.enter("FORWARD", ["mangle", "filter", "security"], forwarded)
        for index in forwarded.indices { forwarded[index].input = .none }
        journey.finish(journey.enter("POSTROUTING", ["mangle", "nat"], forwarded))
    }

    /// A packet of the node's own. To itself it goes out by `lo` and comes in there, where the nat table, which has
    /// been asked already, is not asked again.
    private func walkFromNode(_ packet: Packet, _ journey: inout Journey) {
        var traveller = Traveller(packet)
        traveller.input = .none
        traveller.output = outputInterface(to: packet.destination)
        var travellers = journey.enter("OUTPUT", ["raw", "mangle", "nat"], [traveller])
        for index in travellers.indices {
            travellers[index].output = outputInterface(to: travellers[index].destination)
        }
        // Virtual servers stand behind the nat table. What they send on begins anew at the hook, which shows only where
        // somebody's rules of raw and mangle ask for it.
        let (others, served) = journey.serve(travellers, hook: "OUTPUT")
        travellers = journey.enter("OUTPUT", ["filter", "security"], others + served)
        travellers = journey.enter("POSTROUTING", ["mangle", "nat"], travellers)
        journey.finish(travellers.filter { !local.contains($0.destination) })
        var looped = travellers.filter { local.contains($0.destination) }
        for index in looped.indices {
            looped[index].input = .named("lo")
            looped[index].output = .none
        }
        deliver(journey.enter("PREROUTING", ["raw", "mangle"], looped), translatesSource: false, &journey)
    }

    private func deliver(_ travellers: [Traveller], translatesSource: Bool, _ journey: inout Journey) {
        let arrived = journey.enter("INPUT", ["mangle", "filter", "security"], travellers)
        // What the node has sent to itself has been asked on its way out.
        guard translatesSource else { return journey.finish(arrived) }
        // Virtual servers stand behind the filter table.
        let (others, served) = journey.serve(arrived, hook: "INPUT")
        let staying = served.filter { local.contains($0.destination) }
        journey.finish(journey.enter("INPUT", ["nat"], others + staying))
        sendOn(served.filter { !local.contains($0.destination) }, &journey)
    }

    /// What virtual servers send on goes out like the node's own, but that nat has been asked.
    private func sendOn(_ travellers: [Traveller], _ journey: inout Journey) {
        var travellers = travellers
        for index in travellers.indices {
            travellers[index].input = .none
            travellers[index].output = .unknown
        }
        travellers = journey.enter("OUTPUT", ["raw", "mangle", "filter", "security"], travellers)
        journey.finish(journey.enter("POSTROUTING", ["mangle", "nat"], travellers))
    }

    private func outputInterface(to address: IPAddress) -> Traveller.Interface {
        local.contains(address) ? .named("lo") : .unknown
    }

    // MARK: The order of the tracer

    private func walkTracer(_ packet: Packet, _ journey: inout Journey) {
        var traveller = Traveller(packet)
        if local.contains(packet.source) { traveller.input = .none }
        let travellers = journey.enter(chain: "KUBE-SERVICES", of: "nat", [traveller])
        let sent = travellers.filter(\.isTranslated)
        journey.finish(journey.enter(chain: "KUBE-POSTROUTING", of: "nat", sent))
        var rest = travellers.filter { !$0.isTranslated }
        for chain in ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"] {
            // What one chain accepts does not come to the next.
            rest = journey.enter(chain: chain, of: "filter", rest)
            journey.finish(rest.filter(\.isAccepted))
            rest.removeAll(where: \.isAccepted)
        }
        journey.finish(rest)
    }
}
