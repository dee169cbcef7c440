import Foundation
import TestSupport
import Testing

extension DaemonNode {
    /// Connects to the service that is always there.
    fileprivate func connect(_ count: Int, to address: String = NodeService.always.clusterIP, _ port: Int = 80) throws {
        let answers = try namespace.require([
            BuiltProducts.trafficPeer, "ask", "--tcp", address, "\(port)", "--source", "10.1.0.2", "--count",
            "\(count)", "--summary",
        ])
        #expect(answers.hasPrefix("\(count)") && answers.contains("pod"), "\(answers)")
    }

    /// What status says of the connections to the service.
    fileprivate func counted() throws -> String {
        try run([
            BuiltProducts.switchyard, "status", "--socket", daemon?.statusSocket.path ?? "", "--service",
            "default/always",
        ]).output
    }

    fileprivate func differenceWithCounters() throws -> String {
        let result = try run([
            BuiltProducts.switchyard, "diff", "--source", manifests.path, "--config", configurationFile.path,
            "--family", family, "--service-counters",
        ])
        return result.status == 0 ? "" : result.output + result.errors
    }

    fileprivate func settleWithCounters() async throws {
        var difference = ""
        _ = try await DaemonProcess.wait(every: .milliseconds(200)) {
            difference = try differenceWithCounters()
            return difference.isEmpty
        }
        #expect(difference == "", "\(daemon?.log ?? "")")
    }
}

extension DaemonNFTables {
    @Suite("Counters of services")
    struct CounterTests {
        @Test("survive changes, mended damage, another configuration, SIGKILL and a restart")
        func survive() async throws {
            let node = try DaemonNode(.nftables, family: "ipv4", settings: "nodePortAddresses: [10.1.0.0/24]")
            try node.start("--service-counters")
            #expect(await node.waitUntilHealthy(), "\(node.daemon?.log ?? "")")
            try node.connect(5)
            try node.connect(2, to: "10.1.0.2", 31_010)
            // The first packet of each is a SYN of 60 bytes.
            func line(_ count: Int) -> String {
                "IPv4 default/always:http TCP: \(count) connections, \(count * 60) bytes in their first packets\n"
            }
            #expect(try node.counted() == line(7))

            try node.write(NodeService(name: "other", number: 20, endpoints: [5, 6]).manifest, to: "other.json")
            try await node.settleWithCounters()
            #expect(node.status()?["IPv4"]?.lastSync?.kind == "partial")
            #expect(try node.counted() == line(7))

            // Damage is mended by writing everything.
            try node.shell("nft flush chain ip switchyard services")
            try await node.settleWithCounters()
            #expect(node.status()?["IPv4"]?.drift.mended["changed"] == 1)
            try node.connect(1)
            #expect(try node.counted() == line(8))

            // A set less, and the daemon begins anew.
            try node.configure(settings: "nodePortAddresses: [0.0.0.0/0]")
            try await node.settleWithCounters()
            #expect(await node.waitUntilHealthy(), "\(node.daemon?.log ?? "")")
            #expect(try node.counted() == line(8))

            node.daemon?.kill()
            try node.start("--service-counters")
            #expect(await node.waitUntilHealthy(), "\(node.daemon?.log ?? "")")
            try node.connect(1)
            #expect(try node.counted() == line(9))
            try await node.settleWithCounters()

            let status = try node.run([
                BuiltProducts.switchyard, "status", "--socket", node.daemon?.statusSocket.path ?? "",
            ]).output
            #expect(status.contains("  connections   9 to 1 of 2 service ports\n"), "\(status)")
            let walk = try node.run([
                BuiltProducts.switchyard, "explain", "--mode", "nftables", "--live", "--from", "10.1.0.2", "--to",
                "\(NodeService.always.clusterIP):80",
            ]).output
            #expect(walk.contains("        9  "), "\(walk)")
            #expect(walk.contains("@service-counters"), "\(walk)")

            // Without the option they go.
            node.daemon?.stop()
            try await node.startAndSettle()
            #expect(!(try node.shell("nft list table ip switchyard")).contains("counter"))
            let refused = try node.run([
                BuiltProducts.switchyard, "status", "--socket", node.daemon?.statusSocket.path ?? "", "--service",
                "a/b",
            ])
            #expect(refused.status == 1)
            #expect(refused.errors.hasPrefix("switchyard: error: The daemon does not count connections"))
        }
    }
}
