import BenchSupport
import ChainRenderer
import Foundation
import NFTBackend
import ProxyCore
import TestSupport

/// What the rules add to the way of a connection's first packet, for several rule sets side by side.
struct PacketMeasurement {
    static let header = """
        first packet of a TCP connection of a pod to a random cluster IP, through the node to the endpoint; in µs
          services  rules                     packets      p50      p90      p99   p50 beyond no rules
        """

    let services: Int
    /// To each rule set.
    let packets: Int
    /// How many packets are sent through one rule set before the next one's turn.
    private static let turnLength = 250

    private enum Rules: String, CaseIterable {
        case none = "none, to the endpoint"
        case sharedMaps = "nftables, shared-maps"
        case kubeProxy = "nftables, kube-proxy"
        case legacy = "iptables-legacy"
    }

    /// Blocks, and moves the calling thread from namespace to namespace.
    func run() throws {
        let cluster = LargeCluster(services: services, endpointsEach: 10)
        var paths: [(rules: Rules, path: PacketPath)] = []
        for rules in Rules.allCases {
            let path = try PacketPath()
            guard try load(rules) else {
                let limit = Int(RuleProgram.limit.inMilliseconds / 1000)
                say("  \(rules.rawValue) at \(services) services: not loaded within \(limit) s")
                continue
            }
            paths.append((rules, path))
        }
        // In turns, so that what else the machine does meets all of them.
        var figures: [Rules: Figures] = [:]
        var generator = SeededGenerator(seed: 1)
        for turn in 0..<max(packets / Self.turnLength, 1) {
            let connections = (0..<Self.turnLength).map { place in
                let service = Int.random(in: 0..<services, using: &generator)
                return Connection(service, cluster, sourcePort: 1024 + turn * Self.turnLength + place)
            }
            for (rules, path) in paths {
                try measure(connections, rules, path, &figures[rules, default: Figures()])
            }
        }
        let base = figures[.none]?.median ?? 0
        for (rules, _) in paths {
            guard let times = figures[rules] else { continue }
            let name = rules.rawValue
            let percentiles = [50, 90, 99].map { column(times.percentile($0), 1, width: 9) }
            say(
                column(Double(services), 0) + "  " + name + column("", width: 22 - name.count)
                    + column(Double(times.count), 0, width: 11) + percentiles.joined()
                    + column(times.median - base, 1, width: 22))
        }
    }

    /// Opens the connections one after the other. Throws if a packet does not come to an endpoint of its service.
    private func measure(
        _ connections: [Connection], _ rules: Rules, _ path: PacketPath, _ figures: inout Figures
    ) throws {
        let packets = connections.map { $0.firstPacket(isToEndpoint: rules == .none) }
        // Nothing else is done in between: the next packet would find other things in the processor's caches.
        let arrivals = try packets.map { try path.time(of: $0) }
        for (connection, arrival) in zip(connections, arrivals) {
            guard connection.endpoints.contains(arrival.packet.destination), arrival.packet.destinationPort == 8080
            else {
                throw Failure(
                    "\(rules.rawValue): a packet to \(connection.clusterIP) went to \(arrival.packet.destination)")
            }
            figures.add(arrival.time / .microseconds(1))
        }
    }

    /// From a pod to a service, and where it may end.
    private struct Connection {
        let clusterIP: IPAddress
        let endpoints: [IPAddress]
        let sourcePort: UInt16

        init(_ service: Int, _ cluster: LargeCluster, sourcePort: Int) {
            clusterIP = cluster.service(service).clusterIPs[0]
            endpoints = cluster.slice(service).endpoints.map(\.address)
            self.sourcePort = UInt16(truncatingIfNeeded: sourcePort)
        }

        func firstPacket(isToEndpoint: Bool) -> Packet {
            let pod = IPAddress(ipv4: 0x0ac8_0002)
            guard isToEndpoint else { return Packet(from: (pod, sourcePort), to: (clusterIP, 80)) }
            return Packet(from: (pod, sourcePort), to: (endpoints[Int(sourcePort) % endpoints.count], 8080))
        }
    }

    /// Returns false if the program that loads them took too long.
    private func load(_ rules: Rules) throws -> Bool {
        switch rules {
        case .none:
            // With chains of these types there is connection tracking, as there is beside rules.
            let text = """
                table ip empty {
                    chain prerouting { type nat hook prerouting priority -100; }
                    chain postrouting { type nat hook postrouting priority 100; }
                }

                """
            return try RuleProgram.nft.load(Array(text.utf8)) != nil
        case .sharedMaps:
            let cluster = PlannedCluster(services: services)
            var table = cluster.emptyTable
            table.update(.init(changed: cluster.all))
            guard let transaction = table.nextTransaction() else { return false }
            try Replay(NFTablesBatch(transaction)).run()
            return true
        case .kubeProxy:
            return try RuleProgram.nft.load(PlannedCluster(services: services).kubeProxyText) != nil
        case .legacy:
            return try RuleProgram.legacyRestore.load(legacyText) != nil
        }
    }

    /// The input of the restore program, with the jumps from the built-in chains.
    private var legacyText: [UInt8] {
        let cluster = PlannedCluster(services: services, mode: .iptables)
        var rules = IPTablesRules(node: cluster.node)
        rules.update(cluster.state.services.keys, from: cluster.state)
        let batch = rules.fullBatch()
        return batch.tables.flatMap { table -> [UInt8] in
            let jumps = batch.jumps.filter { $0.table == table.name }.map {
                "-A \($0.chain) \($0.matches.isEmpty ? "" : $0.matches + " ")-j \($0.target)\n"
            }
            let end = Array("COMMIT\n".utf8)
            precondition(table.text.suffix(end.count).elementsEqual(end))
            return table.text.dropLast(end.count) + Array(jumps.joined().utf8) + end
        }
    }
}
