import TestSupport
import Testing

extension IPVSNodeTests {
    /// That connections are shared as ipvsadm(8) defines it, three endpoints of one weight standing behind every service.
    ///
    /// The schedulers that count connections have a service each, so that none counts those of another.
    @Suite("Schedulers")
    struct Schedulers {
        private static let services = (0..<10).map {
            Service(name: "scheduled-\($0)", number: 20 + $0, type: "ClusterIP")
        }
        private let node: TrafficNode
        private let service = Self.services[0]

        init() throws {
            node = try IPVSNodeTests.node()
        }

        /// Applies the services with a scheduler.
        private func use(_ scheduler: String, _ services: [Service] = Self.services) throws {
            try node.require(services, scheduler: scheduler)
            let servers = try node.namespace.require(["ipvsadm", "--save", "--numeric"]).split(separator: "\n")
            let options = scheduler == "mh" ? "mh -b mh-port" : scheduler
            #expect(servers.contains("-A -t \(service.clusterIPs[0]):80 -s \(options)"))
        }

        private func counts(_ servers: [String?]) -> [String: Int] {
            Dictionary(grouping: servers.map { $0 ?? "nobody" }) { $0 }.mapValues(\.count)
        }

        @Test("rr and wrr take turns", arguments: ["rr", "wrr"])
        func turns(_ scheduler: String) throws {
            try use(scheduler)
            for family in Cluster.Family.allCases {
                for transport in TrafficLab.Transport.allCases {
                    var question = TrafficLab.Question("pod", transport, family.of(service.clusterIPs), 80)
                    question.count = 30
                    if transport == .udp {
                        // A port of before, by chance, would be a flow that goes on.
                        question.sources = [family.of(Cluster.pod.addresses)]
                        question.firstPort = scheduler == "rr" ? 21000 : 22000
                    }
                    let servers = try node.lab.ask([question])[0].map(\.server)
                    #expect(counts(servers) == ["web-1": 10, "web-2": 10, "web-3": 10], "\(transport) \(family)")
                    #expect(servers.dropLast(3).elementsEqual(servers.dropFirst(3)), "\(transport) \(family)")
                }
            }
        }

        @Test(
            "lc, wlc, sed and nq choose the endpoint with the fewest open connections",
            arguments: [("lc", 1), ("wlc", 2), ("sed", 3), ("nq", 4)])
        func leastLoaded(_ scheduler: String, _ number: Int) throws {
            try use(scheduler)
            let client = try HeldConnections(from: "pod", of: node.lab)
            for address in Self.services[number].clusterIPs {
                let connections = try client.open(address, Service.heldPort, count: 9)
                #expect(counts(connections.map(\.server)) == ["web-1": 3, "web-2": 3, "web-3": 3])
                // The one whose turn it would not be.
                let free = connections[1].server
                for connection in connections where connection.server == free { try client.reset(connection) }
                let next = try client.open(address, Service.heldPort, count: 6).map(\.server)
                #expect(next.prefix(3) == [free, free, free], "\(address)")
                #expect(Set(next.suffix(3)) == Cluster.all, "\(address)")
            }
        }

        @Test("sh has every connection of a client go to one endpoint")
        func bySource() throws {
            try use("sh")
            for family in Cluster.Family.allCases {
                let sources = Cluster.crowd.addresses.filter { $0.contains(":") == (family == .ipv6) }
                let servers = try node.lab.ask(
                    from: "crowd", .tcp, family.of(service.clusterIPs), 80, count: 5, sources: sources
                ).map(\.server)
                try #require(servers.count == 100)
                for (index, source) in sources.enumerated() {
                    #expect(Set(servers[index * 5..<index * 5 + 5]).count == 1, "\(source)")
                }
                #expect(Set(servers) == Set(Cluster.all.map(Optional.some)))
            }
        }

        @Test("dh and lblc have every connection to an address go to one endpoint", arguments: ["dh", "lblc"])
        func byDestination(_ scheduler: String) throws {
            try use(scheduler)
            for family in Cluster.Family.allCases {
                let services = Self.services[6...]
                let clients = ["pod", "stranger"]
                let questions = services.flatMap { service in
                    clients.map { client in
                        var question = TrafficLab.Question(client, .tcp, family.of(service.clusterIPs), 80)
                        question.count = 6
                        return question
                    }
                }
                let answers = try node.lab.ask(questions).map { $0.map(\.server) }
                let chosen = stride(from: 0, to: answers.count, by: clients.count).map {
                    Set(answers[$0] + answers[$0 + 1])
                }
                #expect(chosen.allSatisfy { $0.count == 1 && !$0.contains(nil) }, "\(answers)")
                // By the address, dh has another for some; lblc takes one that has no more connections than others.
                #expect(scheduler == "lblc" || Set(chosen).count > 1, "\(answers)")
            }
        }

        @Test(
            "lblc leaves an endpoint that has too many connections, and lblcr takes another to it",
            arguments: [("lblc", 6), ("lblcr", 7)])
        func overloaded(_ scheduler: String, _ number: Int) throws {
            try use(scheduler)
            let client = try HeldConnections(from: "pod", of: node.lab)
            for address in Self.services[number].clusterIPs {
                // An endpoint of weight 1 is overloaded with two connections, while another has none.
                let opened = try client.open(address, Service.heldPort, count: 3)
                let (first, second) = (opened[0].server, opened[2].server)
                #expect(opened[1].server == first && second != first, "\(opened)")
                // The first is free again: of the two it is the one with fewer, but lblc has forgotten it.
                for connection in opened.prefix(2) { try client.reset(connection) }
                let next = try client.open(address, Service.heldPort).map(\.server)
                #expect(next == [scheduler == "lblcr" ? first : second], "\(opened)")
            }
        }

        @Test("mh spreads a client's connections evenly, and moves few when an endpoint goes")
        func consistent() throws {
            let service = Self.services[8]
            var smaller = service
            smaller.servers = [1, 2]
            func ask(_ family: Cluster.Family) throws -> [String?] {
                try node.lab.ask(
                    from: "pod", .udp, family.of(service.clusterIPs), 80, count: 600,
                    sources: [family.of(Cluster.pod.addresses)], firstPort: 23000
                ).map(\.server)
            }
            try use("mh")
            let before = try Cluster.Family.allCases.map(ask)
            try use("mh", Self.services.map { $0.number == smaller.number ? smaller : $0 })
            // The kernel remembers flows of UDP for a second here.
            try node.namespace.require(["sleep", "1.5"])
            let after = try Cluster.Family.allCases.map(ask)
            for (before, after) in zip(before, after) {
                // As in TrafficTests.balance: chance exceeds this in one run of a million, and this is no chance.
                let statistic = Cluster.all.map { name in
                    let count = Double(before.count { $0 == name })
                    return (count - 200) * (count - 200) / 200
                }.reduce(0, +)
                #expect(before.count == 600 && statistic < 27.63, "\(counts(before))")
                #expect(Set(after) == ["web-1", "web-2"])
                let kept = zip(before, after).filter { $0.0 != "web-3" }
                let same = kept.count { $0.0 == $0.1 }
                #expect(same * 100 > kept.count * 85, "\(same) of \(kept.count)")
            }
        }
    }
}
