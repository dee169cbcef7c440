import TestSupport
import Testing

/// Connections through a node of which services, and endpoints, go while they are open: whoever serves the node, and in
/// whatever way it is told.
final class OpenConnections {
    typealias Cluster = TrafficCluster
    typealias Service = TrafficCluster.Service

    private static let shrinking = Service(name: "shrinking", number: 41)
    private static let going = Service(name: "going", number: 42)
    /// What there is when connections are opened, and what is left of it afterwards: web-3 has gone from one service, and
    /// another service altogether.
    static let before = [shrinking, going, Cluster.plain]
    static let after = [shrunk, Cluster.plain]

    private static var shrunk: Service {
        var service = shrinking
        service.servers = [1, 2]
        return service
    }

    /// From where to where connections go: from a pod, masqueraded from outside, and from the node itself.
    private static func destinations(_ service: Service) -> [(client: String, addresses: [String], port: UInt16)] {
        [
            ("pod", service.clusterIPs, Service.heldPort), ("stranger", service.externalIPs, Service.heldPort),
            ("stranger", Cluster.node.addresses, service.heldNodePort), ("node", service.clusterIPs, Service.heldPort),
        ]
    }

    private struct Connection {
        var client: String
        var service: Service
        var held: HeldConnections.Connection
    }

    private let lab: TrafficLab
    private let clients: [String: HeldConnections]
    private var connections: [Connection] = []

    /// Opens connections to every endpoint of the services, in both families.
    init(through lab: TrafficLab) throws {
        self.lab = lab
        var clients: [String: HeldConnections] = [:]
        for client in ["pod", "stranger", "node"] {
            clients[client] = try HeldConnections(from: client, of: lab, timeout: 3000)
        }
        self.clients = clients
        for service in Self.before {
            for (client, addresses, port) in Self.destinations(service) {
                for address in addresses {
                    let opened = try clients[client]?.open(address, port, count: 3) ?? []
                    #expect(Set(opened.map(\.server)) == Cluster.all, "\(client) to \(address):\(port)")
                    connections += opened.map { Connection(client: client, service: service, held: $0) }
                }
            }
        }
    }

    /// Expects that data flows over every connection, to and from the endpoint that it was opened to.
    func expectAllAlive(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(connections.count == 72, sourceLocation: sourceLocation)
        for connection in connections {
            let answer = try clients[connection.client]?.ask(connection.held)
            #expect(
                answer == connection.held.server, "\(connection.client) to \(connection.service.name)",
                sourceLocation: sourceLocation)
        }
    }

    /// Expects that no new connection, nor datagram, reaches what has gone, and that the rest is reached.
    func expectNoneNew(sourceLocation: SourceLocation = #_sourceLocation) throws {
        for family in Cluster.Family.allCases {
            for transport in TrafficLab.Transport.allCases {
                var questions: [TrafficLab.Question] = []
                for service in [Self.shrinking, Self.going] {
                    for (client, addresses, port) in [
                        ("pod", service.clusterIPs, Service.port), ("stranger", service.externalIPs, Service.port),
                        ("stranger", Cluster.node.addresses, service.nodePort),
                    ] {
                        var question = TrafficLab.Question(client, transport, family.of(addresses), port)
                        question.count = service.number == Self.going.number ? 1 : 4
                        question.milliseconds = 3000
                        questions.append(question)
                    }
                }
                for (question, answers) in zip(questions, try lab.ask(questions)) {
                    let place = Comment("\(question.client) to \(transport) \(question.address) \(question.port)")
                    if question.count == 1 {
                        #expect(answers.map(\.outcome) == [.refused], place, sourceLocation: sourceLocation)
                    } else {
                        #expect(
                            Set(answers.map(\.server)) == ["web-1", "web-2"], place, sourceLocation: sourceLocation)
                    }
                }
            }
        }
    }

    /// Expects that no new connection to the very ports that open ones are to reaches what has gone.
    func expectNoneNewBesideOpenOnes(sourceLocation: SourceLocation = #_sourceLocation) throws {
        for address in Self.shrinking.clusterIPs {
            let opened = try clients["pod"]?.open(address, Service.heldPort, count: 6) ?? []
            #expect(Set(opened.map(\.server)) == ["web-1", "web-2"], sourceLocation: sourceLocation)
            for connection in opened { try clients["pod"]?.reset(connection) }
        }
        let refused = try Self.going.clusterIPs.flatMap {
            try clients["pod"]?.open($0, Service.heldPort) ?? []
        }
        #expect(refused.map(\.server) == ["refused", "refused"], sourceLocation: sourceLocation)
    }

    /// Ends all connections by resets. The kernel remembers each for ten seconds more (`tcp_timeouts` of IPVS).
    func end() throws {
        for connection in connections { try clients[connection.client]?.reset(connection.held) }
        connections = []
    }
}
