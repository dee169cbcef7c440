import Foundation
import TestSupport
import Testing

extension DaemonNFTables {
    @Suite("A program that writes another table without a pause")
    struct RivalTests {
        @Test("holds up none of 50 changes and hides no damage")
        func changes() async throws {
            let node = try DaemonNode(.nftables, family: "ipv4")
            try await node.startAndSettle()
            let pairs = node.folder.appending(path: "pairs")
            let noise = try node.namespace.start([
                "sh", "-c",
                "while nft add table inet noise && nft delete table inet noise; do echo; done >\(pairs.path)",
            ])
            defer { noise.stop() }
            var service = NodeService(name: "other", number: 20, endpoints: [5])
            for change in 0..<50 {
                service.endpoints = [5 + change, 100 + change % 3]
                try node.write(service.manifest, to: "other.json")
                try await Task.sleep(for: .milliseconds(60))
            }
            // The status is asked for first: a process for each comparison takes long beside the noise.
            let last = "10.1.0.\(service.endpoints[0])"
            let isThere = try await DaemonProcess.wait(.seconds(20), every: .milliseconds(200)) {
                try node.shell("nft list map ip switchyard endpoints-tcp").contains("\(last) ")
            }
            #expect(isThere, "\(node.daemon?.log ?? "")")
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
            let count = try Data(contentsOf: pairs).count * 2
            print("nftables: 50 changes beside \(count) transactions of another program")
            #expect(count > 20)
            #expect(node.status()?["IPv4"]?.lastSync?.kind == "partial")
            #expect(node.status()?["IPv4"]?.drift.mended == [:])
            let log = node.daemon?.log ?? ""
            // The one at the start.
            #expect(
                log.split(separator: "\n").count { $0.contains("rules are committed") && $0.contains("kind=full") } == 1
            )
            #expect(!log.contains("Z error") && !log.contains("Z warning"), "\(log)")

            let start = Date()
            try node.shell("nft flush chain ip switchyard services")
            #expect(await node.time(ofLossNamed: "chain services", after: start) != nil, "\(node.daemon?.log ?? "")")
            #expect(try await node.settle() == "", "\(node.daemon?.log ?? "")")
        }
    }
}
