/// One change to the virtual servers of a node.
public enum IPVSChange: Hashable, Sendable {
    /// Without its real servers, which are added apart. Refused where there is one by the key.
    case addServer(VirtualServer.Key, VirtualServer)
    /// Gives an existing one other options. Its real servers and connections stay.
    case changeServer(VirtualServer.Key, VirtualServer)
    /// With its real servers.
    case deleteServer(VirtualServer.Key)
    /// Refused where it is there already.
    case addRealServer(RealServer, weight: Int, of: VirtualServer.Key)
    /// Weight 0 lets it have no new connections.
    case changeRealServer(RealServer, weight: Int, of: VirtualServer.Key)
    case deleteRealServer(RealServer, of: VirtualServer.Key)

    public var key: VirtualServer.Key {
        switch self {
        case .addServer(let key, _), .changeServer(let key, _), .deleteServer(let key), .addRealServer(_, _, let key),
            .changeRealServer(_, _, let key), .deleteRealServer(_, let key):
            key
        }
    }

    /// What it does, such as "add the virtual server tcp 10.0.0.1 port 80".
    public var sentence: String {
        switch self {
        case .addServer(let key, let server): "add the virtual server \(key.text), scheduler \(server.scheduler.name)"
        case .changeServer(let key, let server):
            "change the virtual server \(key.text), scheduler \(server.scheduler.name)"
        case .deleteServer(let key): "delete the virtual server \(key.text)"
        case .addRealServer(let server, _, of: let key): "add the real server \(server.text) to \(key.text)"
        case .changeRealServer(let server, let weight, of: let key):
            "set the weight of the real server \(server.text) of \(key.text) to \(weight)"
        case .deleteRealServer(let server, of: let key): "delete the real server \(server.text) of \(key.text)"
        }
    }
}

extension VirtualServer.Key {
    fileprivate var text: String { "\(`protocol`.lowercaseName) \(address) port \(port)" }
}

extension RealServer {
    fileprivate var text: String { "\(address) port \(port)" }
}

/// How long IPVS remembers connections, in seconds. Nil, like 0, leaves what the kernel has.
public struct IPVSTimeouts: Hashable, Sendable {
    public var tcp: Int?
    /// Of connections that one end has closed.
    public var tcpFin: Int?
    public var udp: Int?

    public init(tcp: Int? = nil, tcpFin: Int? = nil, udp: Int? = nil) {
        self.tcp = tcp
        self.tcpFin = tcpFin
        self.udp = udp
    }
}
