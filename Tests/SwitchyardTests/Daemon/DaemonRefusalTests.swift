import Foundation
import TestSupport
import Testing

extension DaemonBesideOthers {
    @Suite("Refusal")
    struct RefusalTests {
        @Test("the lock is waited for, its holder is named, and then it goes on")
        func lock() async throws {
            let node = try DaemonNode(.legacy)
            try await node.startAndSettle()
            let holder = try RunningCommand(["flock", node.lockFile, "sleep", "600"])
            let isHeld = try await DaemonProcess.wait {
                try Command.run(["flock", "-n", node.lockFile, "true"]).status != 0
            }
            try #require(isHeld)
            try node.write(NodeService(name: "other", number: 20, endpoints: [5]).manifest, to: "other.json")
            let isNamed = await DaemonProcess.wait(.seconds(60)) {
                node.status()?.problems.contains { $0.contains("\(holder.pid) (flock)") } == true
            }
            #expect(isNamed, "\(node.daemon?.log ?? "")")
            #expect(await node.waitUntilLogged("(flock)"))
            #expect(node.status()?["IPv4"]?.retryAt != nil)
            holder.stop()
            #expect(await node.waitUntilHealthy(), "\(node.daemon?.log ?? "")")
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
        }

        @Test("what the kernel refuses is undone whole, told by its line, and tried again; the other family goes on")
        func kernel() async throws {
            let node = try DaemonNode(.nft)
            // A chain of this name that hangs on a hook cannot be jumped to.
            try node.shell("$IPT -t nat -A PREROUTING -s 192.0.2.1 -j RETURN")
            try node.shell("$IPT -A FORWARD -s 192.0.2.1 -j RETURN")
            try node.shell("nft add chain ip nat KUBE-SERVICES '{ type nat hook prerouting priority 5; }'")
            let filter = try node.shell("iptables-nft-save -t filter").split(separator: "\n").filter {
                !$0.hasPrefix("#")
            }
            try node.start()
            let hasFailed = await DaemonProcess.wait(.seconds(60)) { attempts(node).count >= 3 }
            #expect(hasFailed, "\(node.daemon?.log ?? "")")
            let status = try #require(node.status())
            let failure = try #require(status["IPv4"]?.lastFailure)
            #expect(failure.inputLines.contains { $0.isNamed }, "\(failure)")
            #expect(status["IPv4"]?.lastSync == nil && status["IPv4"]?.retryAt != nil)
            #expect(status["IPv6"]?.lastSync != nil && status["IPv6"]?.lastFailure == nil)
            #expect(!status.healthy && status.problems.contains { $0.contains(failure.sentence) })
            // Each pause is about twice as long as the one before.
            let times = attempts(node)
            #expect(times[1].timeIntervalSince(times[0]) >= 0.75)
            #expect(times[2].timeIntervalSince(times[1]) >= 1.5)
            // Looked at in a pause, so that it is not the middle of an attempt.
            let isAsBefore = try await DaemonProcess.wait {
                try node.shell("iptables-nft-save -t filter").split(separator: "\n").filter { !$0.hasPrefix("#") }
                    .filter { !$0.hasPrefix(":") } == filter.filter { !$0.hasPrefix(":") }
            }
            #expect(isAsBefore)
            #expect(try await node.settle(.seconds(60), "ipv6") == "")
            try node.shell("nft delete chain ip nat KUBE-SERVICES")
            #expect(await node.waitUntilHealthy(), "\(node.daemon?.log ?? "")")
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
        }

        @Test(
            "a change that is refused for a while leaves the old rules, and is committed in the end",
            arguments: TrafficLabs.Variant.iptables)
        func change(_ variant: TrafficLabs.Variant) async throws {
            let node = try DaemonNode(variant)
            try await node.startAndSettle()
            let rules = try node.shell("$IPT-save | grep -v '^[#:]'")
            let probe = try ConnectionProbe(node)
            try node.gate.refuse(line: 3)
            try node.write(NodeService(name: "other", number: 20, endpoints: [5]).manifest, to: "other.json")
            #expect(await node.wait { $0.retryAt != nil }, "\(node.daemon?.log ?? "")")
            let failure = try #require(node.status()?["IPv4"]?.lastFailure)
            #expect(failure.inputLines.first { $0.isNamed }?.number == 3)
            #expect(failure.inputLines.allSatisfy { !$0.text.isEmpty } && failure.aftermath.isEmpty)
            #expect(await node.waitUntilLogged(failure.sentence))
            #expect(try node.shell("$IPT-save | grep -v '^[#:]'") == rules)
            let isIPv6Done = await node.wait(for: "IPv6") { $0.pendingChanges == nil && $0.lastFailure == nil }
            #expect(isIPv6Done)
            #expect(try await node.settle(.seconds(60), "ipv6") == "")
            try node.gate.refuseNoLonger()
            #expect(await node.waitUntilHealthy(), "\(node.daemon?.log ?? "")")
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
            let (succeeded, failed) = try probe.stop()
            #expect(failed == [] && succeeded > 10)
        }

        /// When commits of IPv4 failed, by the log.
        private func attempts(_ node: DaemonNode) -> [Date] {
            (node.daemon?.log ?? "").split(separator: "\n")
                .filter { $0.contains("Cannot commit") && $0.contains("family=IPv4") }
                .compactMap { DaemonNode.time(of: $0) }
        }
    }

    @Suite("A log that nobody takes")
    struct LogTests {
        /// Faults that are told one by one: more than a pipe holds.
        private var faults: String {
            let services = (0..<1000).map {
                "{ apiVersion: v1, kind: Service, metadata: { name: bad-\($0) }, spec: 7 }\n"
            }
            return services.joined(separator: "---\n")
        }

        private func expectToGoOn(_ node: DaemonNode, lost: Bool) async throws {
            #expect(await node.waitUntilHealthy())
            try node.write(NodeService(name: "other", number: 20, endpoints: [5]).manifest, to: "other.json")
            #expect(try await node.settle() == "")
            if lost { #expect((node.status()?.logLinesDropped ?? 0) > 0) }
            #expect(node.daemon?.stop() == 0)
        }

        @Test("for want of space costs lines, which are counted, and nothing else")
        func full() async throws {
            let node = try DaemonNode(.nft)
            try node.start(standardError: "/dev/full")
            try await expectToGoOn(node, lost: true)
        }

        @Test("as its pipe is full costs nothing else")
        func unread() async throws {
            let node = try DaemonNode(.nft)
            let pipe = node.folder.appending(path: "pipe").path
            try Command.require(["mkfifo", pipe])
            let reader = open(pipe, O_RDWR | O_CLOEXEC)
            defer { close(reader) }
            try node.write(faults, to: "faults.yaml")
            try node.start(standardError: pipe)
            try await expectToGoOn(node, lost: false)
            var waiting: Int32 = 0
            #expect(ioctl(reader, UInt(FIONREAD), &waiting) == 0)
            #expect(waiting > 60_000, "the pipe was to be full")
        }
    }
}
