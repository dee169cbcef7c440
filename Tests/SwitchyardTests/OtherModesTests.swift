import TestSupport
import Testing

@Suite(
    "Other modes than the one that is looked at", .kernel("nft", "iptables-nft-save", "ip6tables-nft-save", "setpriv"))
struct OtherModesTests {
    private let cluster: [String] = {
        let golden = GoldenCase.named("affinity")
        return ["-f", golden.cluster, "--config", golden.configuration]
    }()

    @Test("are warned of where they have tables, by explain --live and by diff, and other programs' tables are not")
    func tables() throws {
        let namespace = try Namespace()
        func errors(_ command: [String]) throws -> String {
            let result = try namespace.run([BuiltProducts.switchyard] + command + cluster)
            #expect(result.status == (command[0] == "diff" ? 1 : 0), "\(result)")
            return result.errors
        }
        func warning(_ table: String, _ done: String) -> String {
            "switchyard: warning: this node has the table \(table) of nf_tables, which is not \(done); "
                + "see --mode nftables\n"
        }
        let explain = ["explain", "--live", "--from", "10.0.0.2", "--to", "172.30.1.1:80"]
        try namespace.require(["nft", "add table ip mine; add table inet switchyard"])
        #expect(try errors(explain + ["--variant", "nft"]) == "")
        #expect(try errors(["diff", "--variant", "nft"]) == "")

        try namespace.require([BuiltProducts.switchyard, "apply", "--mode", "nftables"] + cluster)
        #expect(try errors(explain) == warning("switchyard", "followed"))
        #expect(try errors(explain + ["--mode", "iptables"]) == warning("switchyard", "followed"))
        #expect(try errors(explain + ["--mode", "nftables"]) == "")
        #expect(try errors(["diff", "--variant", "nft"]) == warning("switchyard", "compared"))

        try namespace.require(["nft", "delete table ip switchyard; delete table ip6 switchyard"])
        try namespace.require(["nft", "add table ip6 kube-proxy"])
        #expect(try errors(explain) == "")
        #expect(try errors(["diff", "--variant", "nft"]) == warning("kube-proxy", "compared"))
        // Without the right to look nothing is said, and nothing more fails.
        let less = try namespace.run(
            ["setpriv", "--bounding-set", "-net_admin", BuiltProducts.switchyard, "diff", "--variant", "legacy"]
                + cluster)
        #expect(less.status == 2 && !less.errors.contains("nf_tables"), "\(less)")
    }
}
