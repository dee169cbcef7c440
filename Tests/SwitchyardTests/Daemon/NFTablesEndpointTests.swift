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
            // Each connection leaves an entry of conntrack behind, and a port of the client that is in use for long.
            try node.shell(
                """
                sysctl -q -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=1 net.ipv4.tcp_tw_reuse=1 \
                    net.ipv4.ip_local_port_range='1024 65000'
                """)
            var service = NodeService(name: "changing", number: 20, endpoints: Array(numbers.prefix(Self.sizes[0])))
            try node.write(service.manifest, to: "changing.json")
            try await node.startAndSettle()

            let clients = try (0..<3).map { try ConnectionStorm(node, number: $0, to: service.clusterIP) }
            let end = ContinuousClock.now + .seconds(8)
            var changes = 0
            while ContinuousClock.now < end {
                changes += 1
                service.endpoints = Array(numbers.prefix(Self.sizes[changes % Self.sizes.count]))
                let before = node.status()?["IPv4"]?.lastSync?.finishedAt
                try node.write(service.manifest, to: "changing.json")
                #expect(await node.wait { $0.lastSync?.finishedAt != before }, "\(node.daemon?.log ?? "")")
            }
            var answers: [String: Int] = [:]
            for client in clients { answers.merge(try client.stop(), uniquingKeysWith: +) }
            let total = answers.values.reduce(0, +)
            print("nftables: \(total) connections while a list of endpoints changed \(changes) times: \(answers)")
            #expect(Set(answers.keys) == Set(numbers.map { "pod-\($0)" }), "\(answers)")
            #expect(changes >= Self.sizes.count && total > 1000)
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
        }
    }
}

/// A client that connects without a pause, from one address after the other.
private struct ConnectionStorm {
    private let process: RunningCommand
    private let output: URL

    init(_ node: DaemonNode, number: Int, to address: String) throws {
        output = node.folder.appending(path: "storm-\(number)")
        let sources = (1...50).flatMap { ["--source", "10.1.200.\(number * 50 + $0)"] }
        process = try node.namespace.start(
            ["sh", "-c", #"exec "$@" >\#(output.path)"#, "sh", BuiltProducts.trafficPeer, "ask", "--tcp", address]
                + ["80", "--timeout", "20000", "--count", "5000"] + sources)
    }

    /// Ends it. Returns how often each answer came.
    func stop() throws -> [String: Int] {
        process.stop()
        let text = try String(contentsOf: output, encoding: .utf8)
        // The last line may be cut.
        return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().reduce(into: [:]) {
            $0[String($1.prefix { $0 != " " && $0 != "\t" }), default: 0] += 1
        }
    }
}
