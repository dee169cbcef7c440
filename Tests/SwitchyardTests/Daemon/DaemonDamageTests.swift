import Foundation
import ProxyCore
import TestSupport
import Testing

/// The daemon beside programs that touch its rules, by mistake or on purpose.
@Suite("Daemon, other programs", .daemonKernel)
enum DaemonBesideOthers {}

/// What another program does once.
private struct Damage: CustomTestStringConvertible, Sendable {
    var testDescription: String
    /// `$IPT` is iptables, `$SVC` and `$SEP` are chains of default/always.
    var script: String
    /// One of these kinds is counted: by the watch, which only the nft variant has, or by a check.
    var watched: Set<String> = []
    var checked: Set<String>
    /// What the log says of it, either way.
    var isOfVariant: TrafficLabs.Variant?

    static let all = [
        Damage(
            testDescription: "the ruleset is flushed", script: "nft flush ruleset", watched: ["table"], checked: [],
            isOfVariant: .nft),
        Damage(
            testDescription: "the tables are flushed",
            // The daemon may put something back between the two.
            script: "for t in nat filter; do $IPT -t $t -F; $IPT -t $t -X || true; done", watched: ["chain", "jump"],
            checked: ["missing"]),
        Damage(
            testDescription: "all chains are emptied", script: "$IPT -t nat -F", watched: ["rules", "jump"],
            checked: ["missing"]),
        Damage(
            testDescription: "a jump is deleted",
            script: "$IPT -t nat -D PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES",
            watched: ["jump"], checked: ["missing"]),
        Damage(
            testDescription: "a rule that takes all is put before the jumps",
            script: "$IPT -t nat -I PREROUTING -j ACCEPT", checked: ["moved"]),
        Damage(
            testDescription: "a service's chain is deleted",
            script: """
                # Read first: the restore program holds the lock while it waits for its input.
                rule=$($IPT -t nat -S KUBE-SERVICES | grep -F -- "$SVC" | sed 's/^-A/-D/')
                ports=$($IPT -t nat -S KUBE-NODEPORTS | grep -F -- "$EXT" | sed 's/^-A/-D/')
                printf '%s\\n' '*nat' ":$SVC - [0:0]" "$rule" "$ports" "-F $EXT" "-X $EXT" "-X $SVC" COMMIT |
                    $IPT-restore --noflush
                """, watched: ["chain"], checked: ["missing"]),
        Damage(
            testDescription: "a rule is put into a service's chain",
            script: "$IPT -t nat -I $SVC -s 192.0.2.7 -j RETURN", checked: ["foreign"]),
        Damage(
            testDescription: "a rule of an endpoint is altered",
            script: "$IPT -t nat -R $SEP 2 -p tcp -j DNAT --to-destination 10.1.0.9:8081", checked: ["changed"]),
    ]

    static var cases: [(Damage, TrafficLabs.Variant)] {
        all.flatMap { damage in
            TrafficLabs.Variant.iptables.filter { damage.isOfVariant ?? $0 == $0 }.map { (damage, $0) }
        }
    }
}

extension DaemonNode {
    /// A node whose tables other programs use too, with a daemon that checks every two seconds.
    static func crowded(_ variant: TrafficLabs.Variant, syncPeriod: String = "2s") async throws -> DaemonNode {
        let node = try DaemonNode(variant, syncPeriod: syncPeriod)
        try node.namespace.require(
            ["iptables-\(variant.ofIPTables)-restore", "--noflush"], input: try ForeignRules.text(.ipv4),
            environment: node.environment)
        try node.shell("nft 'add table inet others; add chain inet others kept'")
        try await node.startAndSettle()
        return node
    }

    fileprivate func inflict(_ damage: Damage) throws {
        let service = try target(from: "KUBE-SERVICES", containing: "default/always:http cluster IP")
        let endpoint = try target(from: service, containing: "KUBE-SEP-")
        let external = try target(from: "KUBE-NODEPORTS", containing: "default/always:http")
        try shell("SVC=\(service) SEP=\(endpoint) EXT=\(external)\n" + damage.script)
    }
}

extension DaemonBesideOthers {
    @Suite("Damage")
    struct DamageTests {
        @Test("is mended, counted and told, and nothing of others is touched", arguments: Damage.cases)
        fileprivate func mended(_ damage: Damage, _ variant: TrafficLabs.Variant) async throws {
            let node = try await DaemonNode.crowded(variant)
            try node.inflict(damage)
            let foreign = try node.foreignLines()
            let kinds = variant == .nft ? damage.watched.union(damage.checked) : damage.checked
            let isCounted = await node.wait { family in
                !kinds.isDisjoint(with: family.drift.mended.keys) && family.drift.last != nil
            }
            #expect(isCounted, "\(node.daemon?.log ?? "")")
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
            #expect(try node.foreignLines() == foreign)
            if !damage.script.contains("ruleset") { #expect(try node.shell("nft list tables").contains("inet others")) }
            let differences = try #require(node.status()?["IPv4"]?.drift.last?.differences)
            let isTold = await DaemonProcess.wait {
                (node.daemon?.log ?? "").split(separator: "\n").contains {
                    $0.contains("the rules were changed by another program") && $0.contains(differences[0].prefix(30))
                }
            }
            #expect(isTold, "\(differences) \(node.daemon?.log ?? "")")
            // A check that finds nothing more, and so no contest.
            #expect(await node.wait { $0.lastCheck?.findings == 0 && $0.contested == nil })
            #expect(node.status()?.healthy == true)
        }

        @Test("that is a loss is noticed within a second in the nft variant")
        func withinASecond() async throws {
            // Longer than what the watch is granted below.
            let node = try await DaemonNode.crowded(.nft, syncPeriod: "4s")
            var delays: [Double] = []
            for (script, words) in [
                (
                    "nft delete chain ip nat PREROUTING 2>&1 || nft flush chain ip nat PREROUTING",
                    "jump from PREROUTING"
                ),
                ("nft delete table ip filter", "table filter"), ("nft delete table ip nat", "table nat"),
            ] {
                // Two checks without a finding are peace, so that the next damage is no contest. And a damage right
                // after a check is not found by the next one before it is by the watch.
                let checked = node.status()?["IPv4"]?.lastCheck?.finishedAt
                #expect(await node.wait { $0.lastCheck?.findings == 0 && $0.lastCheck?.finishedAt != checked })
                let before = Date()
                try node.shell(script)
                let time = await node.time(ofLossNamed: words, after: before)
                let told = try #require(time, "\(node.daemon?.log ?? "")")
                delays.append(told.timeIntervalSince(before))
                #expect(try await node.settle() == "")
            }
            print("losses were noticed after \(delays.map { ($0 * 1000).rounded() }) ms")
            // Half a second between two looks; the rest is for a machine that is busy with other tests.
            #expect(delays.allSatisfy { $0 < 3 }, "\(delays)")
        }

        @Test("in the moment of a change, or during its commit, is mended", arguments: TrafficLabs.Variant.iptables)
        func duringSync(_ variant: TrafficLabs.Variant) async throws {
            let node = try await DaemonNode.crowded(variant)
            let flush = "for t in nat filter; do $IPT -t $t -F; $IPT -t $t -X || true; done"
            var service = NodeService(name: "other", number: 20, endpoints: [5])
            for (number, point) in RestoreGate.Point.allCases.enumerated() {
                try node.gate.hold(number, at: point)
                service.endpoints[0] += 1
                try node.write(service.manifest, to: "other.json")
                #expect(await node.gate.waitUntilHeld(number), "\(node.daemon?.log ?? "")")
                // By a program that takes no lock, or another one.
                try node.shell(flush, lockFile: node.folder.appending(path: "other.lock").path)
                try node.gate.letGo(number)
                #expect(try await node.settle() == "", "\(point): \(node.daemon?.log ?? "")")
            }
            service.endpoints[0] += 1
            try node.write(service.manifest, to: "other.json")
            try node.shell(flush)
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
        }
    }
}

extension DaemonNode {
    /// When it was logged that something was lost, once it was.
    func time(ofLossNamed words: String, after start: Date) async -> Date? {
        var time: Date?
        _ = await DaemonProcess.wait(.seconds(60)) {
            time = (daemon?.log ?? "").split(separator: "\n")
                .filter { $0.contains("another program") && $0.contains(words) }
                .compactMap { Self.time(of: $0) }.first { $0 >= start - 0.002 }
            return time != nil
        }
        return time
    }

    /// When a line of the log was written.
    static func time(of line: Substring) -> Date? {
        try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(String(line.prefix { $0 != " " }))
    }
}
