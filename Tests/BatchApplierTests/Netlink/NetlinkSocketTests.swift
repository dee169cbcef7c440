import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    @Suite("Netlink sockets", .kernel("nft"))
    struct NetlinkSocketTests {
        private func namespace(chains: Int) throws -> Namespace {
            let namespace = try Namespace()
            let chains = (0..<chains).map { "add chain ip nat chain-\($0)\n" }.joined()
            try namespace.require(["nft", "-f", "-"], input: "add table ip nat\n" + chains)
            return namespace
        }

        @Test("a dump of many datagrams comes whole, wherever the numbers begin", arguments: ["1", "4294967295"])
        func dump(first: String) throws {
            let node = try namespace(chains: 5000)
            let lines = try node.require([BuiltProducts.netlinkPeer, "chains", first]).split(separator: "\n")
            #expect(lines.count == 5000 && Set(lines).count == 5000)
        }

        @Test("of hundreds of requests in one datagram exactly those that failed are named")
        func perform() throws {
            let node = try namespace(chains: 1)
            let lines = try node.require([BuiltProducts.netlinkPeer, "perform", "900", "chain-0", "4000000"])
            let missing = (0..<450).map { "1 \($0 * 2 + 1) not found\n" }.joined()
            #expect(lines == missing + "2 0 not found\n")
        }

        @Test("answers that did not fit are an error, and the next exchange is not mistaken")
        func lostAnswers() throws {
            let node = try namespace(chains: 1)
            let lines = try node.require([BuiltProducts.netlinkPeer, "perform", "900", "chain-0", "4096"])
            #expect(lines == "1 lost\n2 0 not found\n")
        }
    }
}
