import Foundation
import Glibc
import TestSupport

/// A node that is served in one mode after the other, while clients open connections all the time: a pod, a host
/// outside, and the node itself.
final class ModeChangeLab {
    /// How a node is served.
    struct Serving: Hashable, CustomStringConvertible {
        var mode: String
        var variant = "legacy"

        static let iptables = Serving(mode: "iptables")
        static let iptablesNFT = Serving(mode: "iptables", variant: "nft")
        static let ipvs = Serving(mode: "ipvs")
        static let ipvsNFT = Serving(mode: "ipvs", variant: "nft")
        static let nftables = Serving(mode: "nftables")

        var description: String { mode == "nftables" ? mode : "\(mode) (\(variant))" }
    }

    private static let clients = [TrafficCluster.pod, TrafficCluster.friend, TrafficCluster.node]
    private let lab: TrafficLab
    let node: Namespace
    private let folder: URL
    private var visitors: [String: Visitor] = [:]

    init() throws {
        lab = try TrafficLab(
            node: .init("node", TrafficCluster.node.addresses),
            hosts: [TrafficCluster.servers[0], Self.holder, TrafficCluster.servers[2]]
                + [TrafficCluster.pod, TrafficCluster.friend, TrafficCluster.world])
        node = lab.namespace(of: "node")
        folder = Command.temporaryDirectory.appending(path: "modes-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data((TrafficCluster.manifests() + Self.heldService).utf8).write(to: folder.appending(path: "cluster.yaml"))
        try Data(TrafficCluster.configuration().utf8).write(to: folder.appending(path: "configuration.yaml"))
    }

    /// To be called once.
    func close() {
        visitors.values.forEach { _ = $0.stop() }
        lab.close()
        try? FileManager.default.removeItem(at: folder)
    }

    func apply(_ serving: Serving) throws -> Command.Result {
        let variant = serving.mode == "nftables" ? [] : ["--variant", serving.variant]
        return try node.run(
            [BuiltProducts.switchyard, "apply", "--mode", serving.mode] + variant
                + ["-f", folder.appending(path: "cluster.yaml").path]
                + ["--config", folder.appending(path: "configuration.yaml").path])
    }

    // MARK: Connections that stay open

    /// web-2, which keeps connections open at one port.
    private static let holder: TrafficLab.Host = {
        var host = TrafficCluster.servers[1]
        host.held = [8081]
        return host
    }()

    /// Its service, and the node port beside it.
    private static let held = (address: "172.30.2.1", nodePort: "31091")
    private static let heldService = """
        ---
        apiVersion: v1
        kind: Service
        metadata: { namespace: ns1, name: held }
        spec:
          type: NodePort
          clusterIP: \(held.address)
          clusterIPs: [\(held.address)]
          ipFamilies: [IPv4]
          ports: [{ name: tcp, protocol: TCP, port: 90, targetPort: 8081, nodePort: \(held.nodePort) }]
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: { namespace: ns1, name: held, labels: { kubernetes.io/service-name: held } }
        addressType: IPv4
        endpoints: [{ addresses: [\(holder.addresses[0])], conditions: { ready: true }, nodeName: node2 }]
        ports: [{ name: tcp, protocol: TCP, port: 8081 }]

        """

    /// Opens a connection to the service from a pod, one from the node itself, and one to the node port from outside,
    /// over each of which something is asked ten times a second; ends what runs after it, and returns what was answered.
    func withOpenConnections(_ body: () async throws -> Void) async throws -> [[String]] {
        let nodeAddress = TrafficCluster.node.addresses[0]
        let streams = try [
            ("pod", Self.held.address, "90"), ("node", Self.held.address, "90"),
            ("friend", nodeAddress, Self.held.nodePort),
        ].map { client, address, port in
            try Visitor(
                lab.inside(
                    client, [BuiltProducts.trafficPeer, "stream", "--interval", "100", "--tcp", address, port]),
                output: folder.appending(path: "held-\(client)"))
        }
        try await body()
        return streams.map { stream in
            stream.kill().split(separator: "\n").map { String($0.split(separator: "\t").last ?? "") }
        }
    }

    // MARK: Clients

    /// What every mode treats alike, for every client: a cluster IP, an external IP and a node port; a load-balancer IP
    /// for those in its source ranges.
    private static func servers(for client: String) -> [(address: String, port: UInt16)] {
        TrafficCluster.Family.allCases.flatMap { family in
            let (plain, ranges) = (TrafficCluster.plain, TrafficCluster.ranges)
            let servers = [
                (family.of(plain.clusterIPs), 80), (family.of(plain.externalIPs), 80),
                (family.of(TrafficCluster.node.addresses), plain.nodePort),
            ]
            return client == TrafficCluster.friend.name
                ? servers + [(family.of(ranges.loadBalancerIPs), UInt16(80))] : servers
        }
    }

    func startVisits(every milliseconds: Int) throws {
        for client in Self.clients {
            let servers = Self.servers(for: client.name).flatMap { ["--tcp", $0.address, "\($0.port)"] }
            let command =
                [BuiltProducts.trafficPeer, "visit", "--every", "\(milliseconds)", "--timeout", "10000"] + servers
            visitors[client.name] = try Visitor(
                lab.inside(client.name, command), output: folder.appending(path: client.name))
        }
    }

    /// Ends the visits. Returns how many there were, and what came of those that did not lead to an endpoint.
    func stopVisits() -> (count: Int, longest: Int, failures: [String]) {
        var (total, longest) = (0, 0)
        var failures: [String] = []
        for (client, visitor) in visitors {
            for line in visitor.stop().split(separator: "\n") {
                let words = line.split(separator: "\t").map(String.init)
                switch words.first {
                case "count" where words.count == 3:
                    total += Int(words[1]) ?? 0
                    // Who answers for every address is none of them.
                    if words[2] == TrafficCluster.world.name {
                        failures.append("\(client): \(words[1]) at \(words[2])")
                    }
                case "longest" where words.count == 2: longest = max(longest, Int(words[1]) ?? 0)
                default: failures.append("\(client): \(line)")
                }
            }
        }
        visitors = [:]
        return (total, longest, failures)
    }
}

/// A process that visits servers until it is told to stop.
private final class Visitor {
    private let pid: pid_t
    private let input: Int32
    private let output: URL
    private var text: String?

    init(_ command: [String], output: URL) throws {
        let pipe = try Command.pipe()
        let file = open(output.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        defer { [pipe.reading, file].forEach { Glibc.close($0) } }
        pid = try Command.start(command, descriptors: [pipe.reading, file, file])
        input = pipe.writing
        self.output = output
    }

    /// Ends one that does not look at its input.
    func kill() -> String {
        Glibc.kill(-pid, SIGKILL)
        return stop()
    }

    /// Returns what it printed.
    func stop() -> String {
        if let text { return text }
        Glibc.close(input)
        Command.wait(for: pid)
        let printed = (try? Data(contentsOf: output)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        text = printed
        return printed
    }
}
