import ProxyCore

extension Traveller {
    /// Whether every match of a rule holds; one that cannot be told counts only if no other says no.
    func meets(_ matches: [RuleMatch], local: LocalAddresses, servers: WalkedServers?) -> Chance {
        var chance = Chance.yes
        for match in matches {
            chance = chance.and(meets(match, local, servers))
            if chance == .no { return .no }
        }
        return chance
    }

    /// The first match that cannot be told from the packet.
    func firstUnknown(
        of matches: [RuleMatch], local: LocalAddresses, servers: WalkedServers?
    ) -> RuleMatch? {
        matches.first { meets($0, local, servers) == .unknown }
    }

    private func meets(_ match: RuleMatch, _ local: LocalAddresses, _ servers: WalkedServers?) -> Chance {
        switch match {
        case .source(let mask, let inverted): Chance(mask.contains(source)).inverted(inverted)
        case .destination(let mask, let inverted): Chance(mask.contains(destination)).inverted(inverted)
        case .inputInterface(let pattern, let inverted): Self.fits(pattern, input).inverted(inverted)
        case .outputInterface(let pattern, let inverted): Self.fits(pattern, output).inverted(inverted)
        case .transport(let number, let inverted): Chance(number == transport).inverted(inverted)
        // A first packet is whole, and none of these protocols is ICMP.
        case .fragment(let inverted): Chance.no.inverted(inverted)
        case .icmpType: .no
        case .sourcePorts(let ports, let inverted): Self.hasSourcePort(ports).inverted(inverted)
        case .destinationPorts(let ports, let inverted): Chance(ports.contains(port)).inverted(inverted)
        case .eitherPorts(let ports, let inverted):
            (ports.contains(port) ? .yes : Self.hasSourcePort(ports)).inverted(inverted)
        case .tcpFlags(let mask, let set, let inverted):
            Chance(original.protocol == .tcp && mask.intersection(.syn) == set).inverted(inverted)
        case .mark(let value, let inverted): Chance(value.contains(mark)).inverted(inverted)
        case .connectionMark(let value, let inverted): Chance(value.contains(connectionMark)).inverted(inverted)
        case .addressType(let type): meets(type, local)
        case .random(let chance, let inverted): Self.probability(chance).inverted(inverted)
        case .nth(let every, _, let inverted):
            (every > 1 ? Chance.random(1 / Double(every)) : .yes).inverted(inverted)
        // A first packet's address is in no list; to note it always holds (xt_recent.c).
        case .recent(let recent): Chance((recent.action == .set) != recent.isInverted)
        case .limit, .accounting: .yes
        case .connectionState, .originalSource, .originalDestination, .replySource, .replyDestination,
            .originalDestinationPorts, .connectionTransport:
            meetsConnection(match)
        case .set(let name, let directions, let inverted):
            servers.map { $0.holds(name, directions, self).inverted(inverted) } ?? .unknown
        case .virtualServer(let condition, let inverted):
            servers == nil ? .unknown : meets(condition, inverted)
        case .other: .unknown
        }
    }

    /// Nothing holds for a packet that no virtual server has sent on, an inverted condition neither (xt_ipvs.c).
    private func meets(_ condition: VirtualServerCondition, _ inverted: RuleMatch.Inverted) -> Chance {
        guard let server else { return .no }
        let holds =
            switch condition {
            case .address(let mask): mask.contains(server.address)
            case .transport(let number): number == transport
            case .port(let port): port == server.port
            }
        return Chance(holds).inverted(inverted)
    }

    /// What xt_conntrack matches. The reply comes from where the packet goes to and goes to where it comes from, both
    /// after translation.
    private func meetsConnection(_ match: RuleMatch) -> Chance {
        switch match {
        case .connectionState(let states, let inverted):
            Chance(!states.isDisjoint(with: connection)).inverted(inverted)
        case _ where !isTracked: .no
        case .originalSource(let mask, let inverted): Chance(mask.contains(original.source)).inverted(inverted)
        case .originalDestination(let mask, let inverted):
            Chance(mask.contains(original.destination)).inverted(inverted)
        case .replySource(let mask, let inverted): Chance(mask.contains(destination)).inverted(inverted)
        case .replyDestination(let mask, let inverted):
            (seenAs == .masqueraded ? .unknown : Chance(mask.contains(source))).inverted(inverted)
        case .originalDestinationPorts(let ports, let inverted):
            Chance(ports.contains(original.port)).inverted(inverted)
        case .connectionTransport(let number, let inverted): Chance(number == transport).inverted(inverted)
        default: .unknown
        }
    }

    private static func fits(_ pattern: InterfacePattern, _ interface: Interface) -> Chance {
        switch interface {
        // The kernel compares with an empty name.
        case .none: Chance(pattern.matches(""))
        case .unknown: .unknown
        case .named(let name): Chance(pattern.matches(name))
        }
    }

    /// Clients send from ports that need no privilege; which one is not known.
    private static func hasSourcePort(_ ports: PortSet) -> Chance {
        let unprivileged = PortSet([1024...65535])
        if ports.ranges.contains(where: { $0.lowerBound <= 1024 && $0.upperBound == 65535 }) { return .yes }
        return ports.overlaps(unprivileged) ? .unknown : .no
    }

    /// The kernel draws 31 bits and compares them (xt_statistic.c).
    private static func probability(_ chance: UInt32) -> Chance {
        switch chance {
        case 0: .no
        case 0x8000_0000...: .yes
        default: .random(Double(chance) / 0x8000_0000)
        }
    }
}

// MARK: - Address types

extension Traveller {
    private func meets(_ match: AddressTypeMatch, _ local: LocalAddresses) -> Chance {
        var chance = Chance.yes
        if let types = match.source {
            chance = Self.has(source, types, local).inverted(RuleMatch.Inverted(match.isSourceInverted))
        }
        if let types = match.destination {
            let holds = Self.has(destination, types, local)
            chance = chance.and(holds.inverted(RuleMatch.Inverted(match.isDestinationInverted)))
        }
        // Which interface has which of the addresses is not known.
        if match.limitsToInputInterface || match.limitsToOutputInterface { chance = chance.and(.unknown) }
        return chance
    }

    /// Whether an address has one of the types, as a routing table with ordinary routes has them. ANYCAST, BLACKHOLE
    /// and the like are told by the table alone.
    private static func has(_ address: IPAddress, _ types: Set<String>, _ local: LocalAddresses) -> Chance {
        if types.contains(type(of: address, local)) { return .yes }
        return types.isSubset(of: ["LOCAL", "UNICAST", "MULTICAST", "BROADCAST", "UNSPEC"]) ? .no : .unknown
    }

    private static func type(of address: IPAddress, _ local: LocalAddresses) -> String {
        if local.contains(address) { return "LOCAL" }
        if address.family == .ipv6 { return address.high >> 56 == 0xff ? "MULTICAST" : "UNICAST" }
        switch address.ipv4Bits >> 24 {
        case 0: return "BROADCAST"
        case 224...239: return "MULTICAST"
        default: return address.ipv4Bits == .max ? "BROADCAST" : "UNICAST"
        }
    }
}
