import Foundation
import TestSupport
import Testing

extension DaemonNFTables {
    @Suite("Another mode")
    struct ModeTests {
        @Test(
            "in the configuration is changed over to and back, with no failed connection and nothing left behind",
            arguments: TrafficLabs.Variant.iptables)
        func changed(_ variant: TrafficLabs.Variant) async throws {
            let node = try DaemonNode(variant)
            try await node.startAndSettle()
            let daemon = try #require(node.daemon)
            let probe = try ConnectionProbe(node)
            try node.configure(mode: "nftables")
            #expect(try await node.settle() == "", "\(daemon.log)")
            #expect(try node.tablesOfNFTables().count == 2)
            let isClean = try await DaemonProcess.wait { try node.chainsOfIPTables().isEmpty }
            let chains = try node.chainsOfIPTables()
            #expect(isClean, "\(chains) \(daemon.log)")

            try node.configure(mode: "iptables")
            #expect(try await node.settle() == "", "\(daemon.log)")
            #expect(!(try node.chainsOfIPTables()).isEmpty)
            let isGone = try await DaemonProcess.wait { try node.tablesOfNFTables().isEmpty }
            let tables = try node.tablesOfNFTables()
            #expect(isGone, "\(tables) \(daemon.log)")

            #expect(await node.waitUntilHealthy(), "\(daemon.log)")
            let (succeeded, failed) = try probe.stop()
            print("nftables, modes, \(variant): \(succeeded) connections, \(failed.count) failed")
            #expect(failed == [], "of \(succeeded) connections; \(daemon.log)")
            #expect(succeeded > 50)
        }

        @Test("applied once leaves nothing of the one before, either way", arguments: TrafficLabs.Variant.iptables)
        func applied(_ variant: TrafficLabs.Variant) throws {
            let node = try DaemonNode(variant)
            for mode in ["iptables", "nftables", "iptables"] {
                let apply = [
                    BuiltProducts.switchyard, "apply", "--source", node.manifests.path, "--config",
                    node.configurationFile.path, "--family", "both", "--mode", mode,
                ]
                let result = try node.run(apply + (mode == "nftables" ? [] : ["--variant", "\(variant)"]))
                #expect(result.status == 0, "\(result.errors)")
                #expect(try node.tablesOfNFTables().count == (mode == "nftables" ? 2 : 0))
                #expect(try node.chainsOfIPTables().isEmpty == (mode == "nftables"))
            }
        }
    }
}
