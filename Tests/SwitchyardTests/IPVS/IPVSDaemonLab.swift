import Foundation
import TestSupport
import Testing

/// A node with three pods and a client around it, and a daemon in ipvs mode that follows a folder of manifests.
final class IPVSDaemonLab {
    static let pods = (1...3).map {
        TrafficLab.Host(
            "pod-\($0)", ["10.180.1.\($0)", "fd00:10:180:1::\($0)"], tcp: [8080], udp: [8080], held: [9090])
    }

    let lab: TrafficLab
    let folder: URL
    private(set) var daemon: DaemonProcess

    var node: Namespace { lab.namespace(of: "node") }

    /// - Parameters:
    ///   - arguments: more options of the daemon.
    ///   - settings: of the configuration's block `ipvs`.
    init(_ services: [IPVSService], arguments: [String] = [], settings: String = "syncPeriod: 1s") throws {
        lab = try TrafficLab(
            node: .init("node", ["192.168.0.2", "2001:db8::2"]),
            hosts: Self.pods + [.init("client", ["10.180.2.9", "fd00:10:180:2::9"])])
        folder = FileManager.default.temporaryDirectory.appending(path: "ipvs-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appending(path: "manifests"), withIntermediateDirectories: true)
        try Data(Self.configuration("ipvs", settings).utf8).write(to: folder.appending(path: "config.yaml"))
        daemon = try Self.start(lab.namespace(of: "node"), folder, arguments)
        try write(services)
    }

    deinit {
        daemon.kill()
        lab.close()
        try? FileManager.default.removeItem(at: folder)
    }

    private static func start(_ node: Namespace, _ folder: URL, _ arguments: [String]) throws -> DaemonProcess {
        try DaemonProcess(
            BuiltProducts.switchyard, in: node,
            ["--source", folder.appending(path: "manifests").path, "--variant", "legacy"]
                + ["--config", folder.appending(path: "config.yaml").path, "--verbosity", "1"] + arguments)
    }

    private static func configuration(_ mode: String, _ settings: String) -> String {
        """
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration
        mode: \(mode)
        hostnameOverride: node1
        clusterCIDR: 10.180.0.0/16,fd00:10:180::/48
        ipvs: { \(settings) }

        """
    }

    /// Changes the configuration, which the daemon takes over by itself.
    func configure(mode: String) throws {
        let file = folder.appending(path: "config.yaml")
        try Data(Self.configuration(mode, "syncPeriod: 1s").utf8).write(to: file, options: .atomic)
    }

    /// Ends the daemon and begins it anew.
    func restart(_ arguments: [String] = [], killed: Bool = false) throws {
        if killed { daemon.kill() } else { daemon.stop() }
        daemon = try Self.start(node, folder, arguments)
    }

    /// Writes all manifests in one step.
    func write(_ services: [IPVSService]) throws {
        let text = ([IPVSService.node] + services.map(\.manifest)).joined(separator: "---\n")
        try Data(text.utf8).write(to: folder.appending(path: "manifests/all.yaml"), options: .atomic)
    }

    func status() -> StatusReport? {
        daemon.statusDocument().flatMap { try? JSONDecoder().decode(StatusReport.self, from: $0) }
    }

    /// Waits until a condition holds.
    func wait(_ time: Duration = .seconds(30), _ condition: () throws -> Bool) async rethrows -> Bool {
        try await DaemonProcess.wait(time, every: .milliseconds(100), until: condition)
    }

    /// What the node has of each mode.
    struct Leftovers {
        var hasChainsOfIPTables: Bool
        var virtualServerCount: Int
        var hasSets: Bool
        var hasDevice: Bool
    }

    func leftovers() throws -> Leftovers {
        let chains = ["iptables-legacy-save", "ip6tables-legacy-save"].map { (try? node.require([$0])) ?? "" }
        let servers = try node.require(["ipvsadm", "--save", "--numeric"])
        return Leftovers(
            hasChainsOfIPTables: chains.contains { $0.contains("KUBE-SEP-") },
            virtualServerCount: servers.split(separator: "\n").count { $0.hasPrefix("-A ") },
            hasSets: try node.require(["ipset", "list", "-n"]).contains("KUBE-"),
            hasDevice: try node.run(["ip", "link", "show", "kube-ipvs0"]).status == 0)
    }

    /// Clients that connect every 20 ms to each address, each time anew.
    func probe(_ addresses: [String]) throws -> IPVSProbe { try IPVSProbe(self, addresses) }

    /// What `ipvsadm` lists of a virtual server: each real server with its weight; nil where there is none such.
    func realServers(_ address: String, _ port: Int = 80, udp: Bool = false) throws -> [String: Int]? {
        let server = "\(udp ? "-u" : "-t") \(address.contains(":") ? "[\(address)]" : address):\(port)"
        let lines = try node.require(["ipvsadm", "--save", "--numeric"]).split(separator: "\n")
        guard lines.contains(where: { $0.hasPrefix("-A \(server) ") }) else { return nil }
        let real = lines.filter { $0.hasPrefix("-a \(server) ") }.map { $0.split(separator: " ") }
        return Dictionary(uniqueKeysWithValues: real.map { (String($0[4]), Int($0[7]) ?? -1) })
    }

    /// The pods that answer new connections, and whatever else becomes of them.
    func answers(_ address: String, _ port: UInt16 = 80, count: Int = 6) throws -> Set<String> {
        Set(try lab.ask(from: "client", .tcp, address, port, count: count).map { $0.server ?? "\($0.outcome)" })
    }

    /// A client that keeps one connection or flow and asks over it again and again.
    func stream(_ transport: String, _ address: String, _ port: UInt16) throws -> FlowStream {
        let flow = UDPCluster.Flow(
            name: "\(transport) \(address)", addresses: [address], port: port, transport: transport, before: "",
            after: "")
        return try FlowStream([flow], family: 0, from: "client", of: lab)
    }
}

/// Clients that connect again and again.
final class IPVSProbe {
    private let clients: [(process: RunningCommand, output: URL)]

    fileprivate init(_ lab: IPVSDaemonLab, _ addresses: [String]) throws {
        clients = try addresses.enumerated().map { number, address in
            let output = lab.folder.appending(path: "probe-\(number)")
            try Data().write(to: output)
            let command = [
                "sh", "-c", #"exec "$@" >\#(output.path)"#, "sh", BuiltProducts.trafficPeer, "ask", "--tcp", address,
                "80",
                "--timeout", "5000", "--every", "20", "--count", "1000000",
            ]
            return (try RunningCommand(lab.lab.inside("client", command)), output)
        }
    }

    private func lines() throws -> [[Substring]] {
        try clients.map {
            // The last line may be cut.
            try String(contentsOf: $0.output, encoding: .utf8).split(separator: "\n").dropLast()
        }
    }

    /// How often the client that has done so least has connected.
    func count() throws -> Int { try lines().map(\.count).min() ?? 0 }

    /// Ends it. Returns how many connections there were, and what became of those that failed.
    func stop() throws -> (count: Int, failures: [String]) {
        clients.forEach { $0.process.stop() }
        let lines = try lines().joined()
        return (lines.count, lines.filter { !$0.hasPrefix("pod-") }.map(String.init))
    }
}

/// A service of such a lab: TCP port 80 whose connections are answered, 90 whose connections are held, and UDP port 80.
struct IPVSService {
    var name = "web"
    var number = 1
    /// The pods by their numbers.
    var endpoints: [Int]
    var affinity = "None"
    /// Addresses of endpoints that no pod has.
    var otherEndpoints: [String] = []

    var clusterIP: String { "172.30.0.\(number)" }
    var clusterIPv6: String { "fd00:10:96::\(number)" }

    static let node = """
        apiVersion: v1
        kind: Node
        metadata: { name: node1 }
        status: { addresses: [{ type: InternalIP, address: 192.168.0.2 }, { type: InternalIP, address: '2001:db8::2' }] }

        """

    var manifest: String {
        """
        apiVersion: v1
        kind: Service
        metadata: { namespace: default, name: \(name) }
        spec:
          type: NodePort
          clusterIP: \(clusterIP)
          clusterIPs: [\(clusterIP), '\(clusterIPv6)']
          ipFamilies: [IPv4, IPv6]
          sessionAffinity: \(affinity)
          ports:
          - { name: http, protocol: TCP, port: 80, targetPort: 8080, nodePort: \(30080 + 10 * number) }
          - { name: held, protocol: TCP, port: 90, targetPort: 9090, nodePort: \(30081 + 10 * number) }
          - { name: dns, protocol: UDP, port: 80, targetPort: 8080, nodePort: \(30080 + 10 * number) }
        ---
        \(slice("IPv4", endpoints.map { "10.180.1.\($0)" } + otherEndpoints))
        ---
        \(slice("IPv6", endpoints.map { "fd00:10:180:1::\($0)" }))

        """
    }

    private func slice(_ family: String, _ addresses: [String]) -> String {
        let list = addresses.map { "{ addresses: ['\($0)'], conditions: { ready: true }, nodeName: node1 }" }
        return """
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata:
              namespace: default
              name: \(name)-\(family.lowercased())
              labels: { kubernetes.io/service-name: \(name) }
            addressType: \(family)
            endpoints: [\(list.joined(separator: ", "))]
            ports:
            - { name: http, protocol: TCP, port: 8080 }
            - { name: held, protocol: TCP, port: 9090 }
            - { name: dns, protocol: UDP, port: 8080 }
            """
    }
}
