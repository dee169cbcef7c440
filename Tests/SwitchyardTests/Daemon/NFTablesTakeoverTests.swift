import Foundation
import ProxyCore
import TestSupport
import Testing

extension DaemonNode {
    /// The chains of iptables mode in both variants, for both families, and those of the kubelet where it has more than
    /// `KUBE-FIREWALL`.
    func chainsOfIPTables() throws -> Set<String> {
        let text = try shell(
            """
            for program in iptables-legacy iptables-nft ip6tables-legacy ip6tables-nft; do
                $program-save 2>&1 | sed "s/^/$program /"
            done
            """)
        return Set(
            text.split(separator: "\n").map(String.init).filter {
                $0.contains(" :KUBE-") && !$0.contains(" :KUBE-FIREWALL ")
            })
    }

    /// The tables of nftables mode that are there.
    func tablesOfNFTables() throws -> [Substring] {
        try shell("nft list tables").split(separator: "\n").filter {
            $0.hasSuffix(" switchyard") || $0.hasSuffix(" kube-proxy")
        }
    }
}

extension DaemonNFTables {
    @Suite("Taking over")
    struct TakeoverTests {
        @Test("a node with rules of iptables mode fails no connection", arguments: TrafficLabs.Variant.iptables)
        func rulesOfIPTables(_ variant: TrafficLabs.Variant) async throws {
            let node = try DaemonNode(.nftables)
            try node.namespace.require(
                ["iptables-\(variant)-restore", "--noflush"], input: try ForeignRules.text(.ipv4),
                environment: node.environment)
            let kubelet = try node.chainsOfIPTables()
            let foreign = ForeignRules.lines(of: try node.shell("iptables-\(variant)-save"))
            let apply = try node.run([
                BuiltProducts.switchyard, "apply", "--source", node.manifests.path, "--config",
                node.configurationFile.path,
                "--family", "both", "--mode", "iptables", "--variant", "\(variant)",
            ])
            try #require(apply.status == 0, "\(apply.errors)")
            try #require(try node.chainsOfIPTables().count > kubelet.count + 10)
            let probe = try ConnectionProbe(node)
            try await Task.sleep(for: .milliseconds(300))
            try await node.startAndSettle()
            let log = node.daemon?.log ?? ""
            let isClean = try await DaemonProcess.wait { try node.chainsOfIPTables() == kubelet }
            let chains = try node.chainsOfIPTables()
            #expect(isClean, "\(chains) \(log)")
            let left = try node.shell("iptables-\(variant)-save")
            #expect(left.contains(":KUBE-FIREWALL "))
            // Counters of built-in chains count on.
            #expect(Self.withoutCounters(ForeignRules.lines(of: left)) == Self.withoutCounters(foreign))
            try await Task.sleep(for: .milliseconds(300))
            let (succeeded, failed) = try probe.stop()
            #expect(failed == [], "of \(succeeded) connections; \(log)")
            #expect(succeeded > 20)
        }

        private static func withoutCounters(_ lines: [String]) -> Set<String> {
            Set(lines.map { String($0.prefix { $0 != "[" }) })
        }

        @Test("a table of an earlier run keeps clients at their endpoints, and fails no connection")
        func affinity() async throws {
            let node = try DaemonNode(.nftables, family: "ipv4")
            let servers = try EndpointServers(node, [3, 4, 5])
            defer { servers.stop() }
            var service = NodeService(name: "sticky", number: 20, affinity: "ClientIP", endpoints: [3, 4, 5])
            try node.write(service.manifest, to: "sticky.json")
            try await node.startAndSettle()
            let first = try Self.answers(of: service, node)
            try #require(Set(first).count == 3 && first.count == 40)
            let elements = try Self.rememberedClients(node)
            #expect(elements.count == 40)
            let probe = try ConnectionProbe(node)
            for isKilled in [true, false] {
                if isKilled { node.daemon?.kill() } else { #expect(node.daemon?.stop() == 0) }
                // So that the first transaction of the next one has something to change.
                service.port += 1
                try node.write(
                    NodeService(name: "other", number: 30, port: service.port, endpoints: [6]).manifest,
                    to: "other.json")
                service.port -= 1
                try await node.startAndSettle()
                #expect(try Self.rememberedClients(node) == elements)
                #expect(try Self.answers(of: service, node) == first)
            }
            let (succeeded, failed) = try probe.stop()
            #expect(failed == [], "of \(succeeded) connections")
        }

        /// The endpoints that 40 clients come to, one after the other.
        private static func answers(of service: NodeService, _ node: DaemonNode) throws -> [String] {
            let sources = (1...40).flatMap { ["--source", "10.1.200.\($0)"] }
            let output = try node.namespace.require(
                [BuiltProducts.trafficPeer, "ask", "--tcp", service.clusterIP, "80", "--timeout", "5000"] + sources)
            return output.split(separator: "\n").map { String($0.prefix { $0 != " " && $0 != "\t" }) }
        }

        /// The elements of map affinity without their times.
        private static func rememberedClients(_ node: DaemonNode) throws -> Set<String> {
            let text = try node.shell("nft list map ip switchyard affinity")
            let list = text.split(separator: "elements = {").dropFirst().joined()
            let elements = list.prefix { $0 != "}" }.split(separator: ",").map { element in
                element.split(whereSeparator: { " \n\t".contains($0) }).filter { $0.contains(".") || $0 == ":" }
            }
            return Set(elements.map { $0.joined(separator: " ") })
        }
    }
}

/// Servers behind endpoints of `NodeService`, each of which answers with its number.
final class EndpointServers {
    private let processes: [RunningCommand]

    /// - Parameter numbers: those of the endpoints, whose addresses become the node's own.
    init(_ node: DaemonNode, _ numbers: [Int]) throws {
        // Addresses for clients, too.
        try node.shell("ip route replace local 10.1.200.0/24 dev lo")
        processes = try numbers.map { number in
            try node.shell("ip addr add 10.1.0.\(number)/32 dev lo")
            return try node.namespace.start([
                BuiltProducts.trafficPeer, "serve", "--name", "pod-\(number)", "--bind", "10.1.0.\(number)", "--tcp",
                "8080",
            ])
        }
    }

    func stop() { processes.forEach { $0.stop() } }
}
