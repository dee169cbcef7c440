import Foundation
import TestSupport
import Testing

@Suite("Daemon, killed", .daemonKernel)
struct DaemonKilledTests {
    private static let kills = 50

    /// A cluster of services in files of ten that changes at random.
    struct History {
        var generator: SeededGenerator
        private let count: Int
        private var services: [Int: NodeService] = [:]

        init(seed: UInt64, count: Int = 200) {
            generator = SeededGenerator(seed: seed)
            self.count = count
            for number in 0..<count { services[number] = service(number) }
        }

        private mutating func service(_ number: Int) -> NodeService {
            let endpoints = (0..<Int.random(in: 0...4, using: &generator)).map { 100 + number * 5 + $0 }
            return NodeService(
                name: "service-\(number)", number: 1000 + number, port: generator.pick([80, 443, 8080]),
                nodePort: generator.chance(20) ? 30_000 + number : nil, endpoints: endpoints)
        }

        func writeAll(_ node: DaemonNode) throws {
            for file in 0..<count / 10 { try write(file, node) }
        }

        private func write(_ file: Int, _ node: DaemonNode) throws {
            let numbers = (file * 10..<file * 10 + 10)
            try node.write(NodeService.manifests(numbers.compactMap { services[$0] }), to: "file-\(file).json")
        }

        /// Changes, adds or removes up to three services, and one for certain.
        mutating func change(_ node: DaemonNode) throws {
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let number = Int.random(in: 0..<count, using: &generator)
                let old = services[number]
                if old != nil, generator.chance(20) {
                    services[number] = nil
                } else {
                    services[number] = service(number)
                    // Another port than before, so that there is something to commit.
                    if services[number]?.port == old?.port { services[number]?.port += 1 }
                }
                try write(number / 10, node)
            }
        }
    }

    @Test(
        "after 50 kills, 15 of them inside an open commit, the kernel is as wanted each time, and no connection fails",
        arguments: TrafficLabs.Variant.iptables)
    func killed(_ variant: TrafficLabs.Variant) async throws {
        var history = History(seed: variant == .nft ? 1 : 2)
        // The other family would double the time, and has nothing that this one lacks.
        let node = try DaemonNode(variant, family: "ipv4")
        try history.writeAll(node)
        try await node.startAndSettle()
        let probe = try ConnectionProbe(node)
        var heldCount = 0
        for kill in 0..<Self.kills {
            let isHeld = kill % 10 < 3
            if isHeld {
                heldCount += try await killInsideCommit(node, kill, &history) ? 1 : 0
            } else {
                try await killAtRandom(node, &history)
                try node.start()
            }
            #expect(await node.waitUntilHealthy(), "after kill \(kill): \(node.daemon?.log ?? "")")
            let difference = try await node.settle()
            #expect(difference == "", "after kill \(kill): \(node.daemon?.log ?? "")")
        }
        let (succeeded, failed) = try probe.stop()
        #expect(heldCount == 15)
        #expect(failed == [], "of \(succeeded) connections")
        #expect(succeeded > 100)
    }

    private func killAtRandom(_ node: DaemonNode, _ history: inout History) async throws {
        try history.change(node)
        // A change is noticed within half a second, and taken over a fifth of one later.
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...900, using: &history.generator)))
        node.daemon?.kill()
        if history.generator.chance(30) { try history.change(node) }
    }

    /// Kills the daemon in the middle of a commit, of a change or of everything, and starts the next one while what the
    /// first has started still holds the lock, or after.
    private func killInsideCommit(_ node: DaemonNode, _ number: Int, _ history: inout History) async throws -> Bool {
        let point = RestoreGate.Point.allCases[number % 10]
        let isFull = history.generator.chance(50)
        if isFull { node.daemon?.kill() }
        try node.gate.hold(number, at: point)
        try history.change(node)
        if isFull { try node.start() }
        let isHeld = await node.gate.waitUntilHeld(number)
        #expect(isHeld, "\(node.daemon?.log ?? "")")
        node.daemon?.kill()
        if history.generator.chance(50) {
            try node.gate.letGo(number)
            try node.start()
        } else {
            try history.change(node)
            try node.start()
            try await Task.sleep(for: .milliseconds(200))
            try node.gate.letGo(number)
        }
        return isHeld
    }
}
