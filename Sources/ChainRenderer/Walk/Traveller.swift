import ProxyCore

/// A packet on its way, or the part of such packets that chance has sent this way.
struct Traveller: Hashable {
    enum Interface: Hashable {
        /// The hook has none.
        case none
        case unknown
        case named(String)
    }

    /// The connection as the packet opened it.
    let original: Packet
    var source: IPAddress
    var destination: IPAddress
    var port: UInt16
    /// Of all packets like it, from 0 to 1.
    var share = 1.0
    var mark: UInt32 = 0
    var connectionMark: UInt32 = 0
    /// False once a rule has taken it out of connection tracking, and with it out of the nat table.
    var isTracked = true
    var isTranslated = false
    /// True if a rule of a filter table let it pass.
    var isAccepted = false
    var seenAs = PacketFate.Source.unchanged
    /// The virtual server that has sent it on.
    var server: VirtualServer.Key?
    /// The place, among the steps, of the rule that accepted or translated it last.
    var decision: Int?
    var input = Interface.unknown
    var output = Interface.unknown

    init(_ packet: Packet) {
        original = packet
        source = packet.source
        destination = packet.destination
        port = packet.port
        if let name = packet.inInterface { input = .named(name) }
    }

    /// The number in the IP header (IANA, protocol numbers).
    var transport: UInt8 {
        switch original.protocol {
        case .tcp: 6
        case .udp: 17
        case .sctp: 132
        }
    }

    var connection: ConnectionStates {
        guard isTracked else { return .untracked }
        var states: ConnectionStates = .new
        if isTranslated { states.insert(.dnat) }
        if seenAs != .unchanged { states.insert(.snat) }
        return states
    }
}

extension [Traveller] {
    /// With those that chance has parted and that nothing tells apart any more as one.
    func merged() -> [Traveller] {
        var places: [Traveller: Int] = [:]
        var merged: [Traveller] = []
        for traveller in self {
            var key = traveller
            key.share = 0
            if let place = places[key] {
                merged[place].share += traveller.share
            } else {
                places[key] = merged.count
                merged.append(traveller)
            }
        }
        return merged
    }
}

/// Whether something holds for a packet.
enum Chance: Hashable {
    case no
    case yes
    /// With a probability between 0 and 1.
    case random(Double)
    /// The packet alone does not tell.
    case unknown

    init(_ holds: Bool) { self = holds ? .yes : .no }

    func inverted(_ inverted: RuleMatch.Inverted) -> Chance {
        guard inverted == .yes else { return self }
        switch self {
        case .no: return .yes
        case .yes: return .no
        case .random(let probability): return .random(1 - probability)
        case .unknown: return .unknown
        }
    }

    /// Whether this and the other hold.
    func and(_ other: Chance) -> Chance {
        switch (self, other) {
        case (.no, _), (_, .no): .no
        case (.unknown, _), (_, .unknown): .unknown
        case (.yes, let rest), (let rest, .yes): rest
        case (.random(let one), .random(let two)): .random(one * two)
        }
    }
}
