import ProxyCore

extension Journey {
    /// The schedulers whose shares are known: each in its turn.
    private static let fairSchedulers: Set<String> = ["rr", "wrr"]

    /// Gives packets to the virtual servers that they are for: they are sent on to real servers, or refused. Returns
    /// those that are for none, and those that were sent on.
    mutating func serve(_ travellers: [Traveller], hook: String) -> (others: [Traveller], served: [Traveller]) {
        guard let servers else { return (travellers, []) }
        var others: [Traveller] = []
        var served: [Traveller] = []
        for traveller in travellers {
            let key = VirtualServer.Key(traveller.destination, traveller.original.protocol, traveller.port)
            if let server = servers.state.servers[key] {
                served += send(traveller, to: key, server, hook, servers.owners[key])
            } else {
                others.append(traveller)
            }
        }
        return (others, served)
    }

    private mutating func send(
        _ traveller: Traveller, to key: VirtualServer.Key, _ server: FoundVirtualServer, _ hook: String,
        _ service: String?
    ) -> [Traveller] {
        let realServers = server.realServers.sorted { $0.key.text < $1.key.text }
        let name = "\(key.protocol.lowercaseName) \(RealServer(key.address, key.port).text)"
        func step(_ depth: Int, _ text: String, _ share: Double) -> RuleWalkResult.Step {
            .init(
                hook: hook, table: "ipvs", chain: name, depth: depth, rule: text, packets: nil, bytes: nil,
                share: share,
                service: service, isOurs: true)
        }
        let count = realServers.count == 1 ? "1 real server" : "\(realServers.count) real servers"
        let place = note(step(0, "virtual server \(name), \(server.text), \(count)", traveller.share))
        let usable = realServers.filter { $0.value.weight > 0 }
        guard !usable.isEmpty else {
            // It answers that the port is unreachable (ip_vs_leave in ip_vs_core.c).
            end(traveller, .reject, place)
            return []
        }
        if !Self.fairSchedulers.contains(server.scheduler.name), usable.count > 1 {
            say(
                "the scheduler \(server.scheduler.name) looks at connections or addresses: the shares are as if all real "
                    + "servers were alike to it")
        }
        func weight(_ found: FoundRealServer) -> Double {
            found.weight > 0 ? server.scheduler.name.hasPrefix("w") ? Double(found.weight) : 1 : 0
        }
        let sum = realServers.reduce(0) { $0 + weight($1.value) }
        var sent: [Traveller] = []
        for (realServer, found) in realServers {
            let share = traveller.share * weight(found) / sum
            let place = note(step(0, "real server \(realServer.text), \(found.text)", share))
            guard share > 0 else { continue }
            sent.append(
                traveller.with {
                    $0.share = share
                    $0.server = key
                    $0.isTranslated = true
                    $0.destination = realServer.address
                    $0.port = realServer.port
                    $0.decision = place
                })
        }
        return sent
    }
}

extension RealServer {
    fileprivate var text: String { PacketFate.End.endpoint(address, port: port).description }
}

extension FoundVirtualServer {
    fileprivate var text: String {
        let persistence = flags.contains(.persistent) ? ", persistence \(persistenceSeconds) s" : ""
        return "scheduler \(scheduler.name)\(persistence)"
    }
}

extension FoundRealServer {
    fileprivate var text: String {
        var text = "weight \(weight)" + (weight == 0 ? ", which gets no new connections" : "")
        if forwarding != .masquerading { text += ", forwarded in another way than ours are" }
        if activeConnections + inactiveConnections > 0 {
            text += ", \(activeConnections) active connections and \(inactiveConnections) others"
        }
        return text
    }
}
