public import ProxyCore

/// A packet's way through a table of nf_tables, as the kernel takes it there.
///
/// Only a connection's first packet is followed: connection tracking calls it new. What rules put into sets on its way
/// is kept for that way alone; elements that are there already count, so a remembered client is one in the table. A rule
/// with an expression that is not understood, or that the packet alone does not decide, is taken not to match, and the
/// result says so.
public struct NFTWalk: Sendable {
    private let table: NFTWalkTable
    private let local: LocalAddresses

    /// - Parameter local: the node's own addresses.
    public init(_ table: NFTKernelTable, local: LocalAddresses) {
        self.table = NFTWalkTable(table)
        self.local = local
    }

    /// Where the packet ends. Its family must be the table's.
    public func fate(of packet: Packet, order: WalkOrder) -> PacketFate { journey(of: packet, order).fate }

    /// The same with every rule that took effect.
    public func walk(_ packet: Packet, order: WalkOrder) -> RuleWalkResult { journey(of: packet, order).result() }

    private func journey(of packet: Packet, _ order: WalkOrder) -> NFTJourney {
        var journey = NFTJourney(table: table, local: local)
        var traveller = NFTTraveller(packet)
        if local.contains(packet.source) { traveller.input = .none }
        switch order {
        case .host where local.contains(packet.source): walkFromNode(traveller, &journey)
        case .host: walkArriving(traveller, &journey)
        case .tracer: walkTracer(traveller, &journey)
        }
        return journey
    }

    // MARK: The order of a host

    /// A packet that comes in by an interface.
    private func walkArriving(_ traveller: NFTTraveller, _ journey: inout NFTJourney) {
        let travellers = journey.enter(.prerouting, [traveller])
        let arrived = travellers.filter { local.contains($0.headerDestination) }
        journey.finish(journey.enter(.input, arrived))
        let forwarded = travellers.filter { !local.contains($0.headerDestination) }
        journey.finish(journey.enter(.postrouting, journey.enter(.forward, forwarded)))
    }

    /// A packet of the node's own. To itself it goes out by `lo` and comes in there, where the nat chains, which have
    /// been asked already, are not asked again.
    private func walkFromNode(_ traveller: NFTTraveller, _ journey: inout NFTJourney) {
        let travellers = journey.enter(.postrouting, journey.enter(.output, [traveller]))
        journey.finish(travellers.filter { !local.contains($0.headerDestination) })
        var looped = travellers.filter { local.contains($0.headerDestination) }
        for index in looped.indices { looped[index].input = .named("lo") }
        looped = journey.enter(.prerouting, looped, nat: false)
        journey.finish(journey.enter(.input, looped, nat: false))
    }

    // MARK: The order of the tracer

    private func walkTracer(_ traveller: NFTTraveller, _ journey: inout NFTJourney) {
        let travellers = journey.enter(.prerouting, [traveller])
        let others = journey.enter(.forward, travellers.filter { !$0.isTranslated })
        journey.finish(journey.enter(.input, others, nat: false))
        journey.finish(journey.enter(.postrouting, travellers.filter(\.isTranslated)))
    }
}
