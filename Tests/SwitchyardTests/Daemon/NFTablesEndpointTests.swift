import Foundation
import TestSupport
import Testing

extension DaemonNFTables {
    @Suite("Lists of endpoints")
    struct EndpointTests {
        private static let sizes = [3, 2, 5, 2, 1, 4]

        @Test("that grow and shrink under many new connections fail none of them")
        func sizes() async throws {
            let node = try DaemonNode(.nftables, family: "ipv4")
            let numbers = Array(3...7)
            let servers = try EndpointServers(node, numbers)
            defer { servers.stop() }
            // Each connection leaves an entry of conntrack behind.
            try node.shell(
                """
                sysctl -q -w net.netfilter.nf_conntrack_tcp_timeout_close=1 \
                    net.ipv4.ip_local_port_range='1024 65000'
                """)
            var service = NodeService(name: "changing", number: 20, endpoints: Array(numbers.prefix(Self.sizes[0])))
            try node.write(service.manifest, to: "changing.json")
            try await node.startAndSettle()

            let storms = try (0..<3).map { try ConnectionStorm(node, number: $0, to: service.clusterIP) }
            let start = ContinuousClock.now
            var changes = 0
            while try storms.contains(where: { try $0.answers().isEmpty }), .now - start < .seconds(600) {
                changes += 1
                service.endpoints = Array(numbers.prefix(Self.sizes[changes % Self.sizes.count]))
                let before = node.status()?["IPv4"]?.lastSync?.finishedAt
                try node.write(service.manifest, to: "changing.json")
                #expect(await node.wait { $0.lastSync?.finishedAt != before }, "\(node.daemon?.log ?? "")")
            }
            let time = ContinuousClock.now - start
            let answers = try storms.reduce(into: [:]) { $0.merge(try $1.answers(), uniquingKeysWith: +) }
            storms.forEach { $0.stop() }
            let total = answers.values.reduce(0, +)
            print("nftables: \(total) connections in \(time), a list of endpoints changed \(changes) times: \(answers)")
            #expect(Set(answers.keys) == Set(numbers.map { "pod-\($0)" }), "\(answers)")
            #expect(total == storms.count * ConnectionStorm.size && total >= 500_000)
            #expect(changes >= 2 * Self.sizes.count)
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
        }
    }
}

/// A client that connects without a pause, from one address after the other, until it has done so often enough.
private struct ConnectionStorm {
    private static let sources = 50
    private static let connectionsPerSource = 3400
    static let size = sources * connectionsPerSource

    private let process: RunningCommand
    private let output: URL

    init(_ node: DaemonNode, number: Int, to address: String) throws {
        output = node.folder.appending(path: "storm-\(number)")
        let sources = (1...Self.sources).flatMap { ["--source", "10.1.200.\(number * Self.sources + $0)"] }
        try Data().write(to: output)
        process = try node.namespace.start(
            ["sh", "-c", #"exec "$@" >\#(output.path)"#, "sh", BuiltProducts.trafficPeer, "storm", "--tcp", address]
                + ["80", "--count", "\(Self.connectionsPerSource)"] + sources)
    }

    /// How often each answer came; empty until it is at its end.
    func answers() throws -> [String: Int] {
        try String(contentsOf: output, encoding: .utf8).split(separator: "\n").reduce(into: [:]) { answers, line in
            let words = line.split(separator: "\t")
            answers[words.last.map(String.init) ?? "", default: 0] += words.first.flatMap { Int($0) } ?? 0
        }
    }

    func stop() { process.stop() }
}
