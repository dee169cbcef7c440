import Foundation
import ProxyCore
import TestSupport
import Testing

@Suite("switchyard cleanup after ipvs mode", .insideUserModeLinux)
struct IPVSCleanupTests {
    private let node: IPVSCommandNode

    init() throws {
        node = try IPVSCommandNode()
    }

    /// What another program has: none of it is on `kube-ipvs0` or in a set of node ports.
    private static let foreign = """
        -A -t 9.9.9.9:80 -s wlc
        -a -t 9.9.9.9:80 -r 10.9.9.9:80 -m -w 7
        -A -t 192.168.0.2:8443 -s rr
        -A -u [2001:db8::2]:8443 -s rr

        """

    private func listing() throws -> String {
        let script = """
            ipvsadm --save -n; ipset list -n; ip -o addr
            (iptables-legacy-save; ip6tables-legacy-save) | grep -v '^#'
            """
        return try node.namespace.require(["sh", "-c", script])
    }

    @Test("takes away what apply has made, and nothing else; a dry run says what")
    func everything() throws {
        try node.namespace.require(["ipvsadm", "--restore"], input: Self.foreign)
        try node.namespace.require(["ipset", "create", "KUBE-CLUSTER-IP-2", "hash:ip"])
        for arguments in [[], ["--mode", "ipvs"]] {
            #expect(try node.apply("dual-stack", mode: "ipvs").status == 0)
            #expect(try node.apply("nodeport", mode: "ipvs").status == 0)
            let before = try listing()
            let preview = try node.cleanup(arguments + ["--dry-run"])
            #expect(preview.status == 0, "\(preview.errors)")
            #expect(try listing() == before)
            let result = try node.cleanup(arguments)
            #expect(result.status == 0, "\(result.errors)")
            let after = try listing()
            for word in ["kube-ipvs0", "KUBE-", "kubernetes"] {
                #expect(before.contains(word))
                #expect(!after.replacing("KUBE-CLUSTER-IP-2", with: "").contains(word), "\(arguments): \(after)")
            }
            let servers = try node.namespace.require(["ipvsadm", "--save", "-n"])
            #expect(lines(servers) == lines(Self.foreign))
            #expect(after.contains("KUBE-CLUSTER-IP-2"))
            for family in ["IPv4", "IPv6"] {
                #expect(preview.output.contains("\(family) ipvs: "), "\(preview.output)")
                #expect(result.errors.contains("\(family) ipvs: removed "), "\(result.errors)")
            }
            for line in [
                "  virtual server tcp 192.168.0.2 port ", "\n  set KUBE-CLUSTER-IP\n", "\n  set KUBE-6-CLUSTER-IP\n",
                "\n  address 172.30.1.1\n",
            ] {
                #expect(preview.output.contains(line), "\(preview.output)")
            }
            #expect(preview.output.components(separatedBy: "the device kube-ipvs0").count == 2, "\(preview.output)")
            #expect(result.errors.components(separatedBy: "the device kube-ipvs0").count == 2, "\(result.errors)")
            #expect(try node.cleanup(arguments).errors.contains("there is nothing to remove"))
        }
    }

    private func lines(_ text: String) -> [String] { text.split(separator: "\n").map(String.init).sorted() }

    @Test("takes one family away, and the device with the last address")
    func families() throws {
        #expect(try node.apply("dual-stack", mode: "ipvs").status == 0)
        #expect(try node.cleanup(["--family", "ipv4"]).status == 0)
        let between = try listing()
        #expect(between.contains("kube-ipvs0") && between.contains("KUBE-6-CLUSTER-IP"))
        #expect(!between.contains("\nKUBE-CLUSTER-IP") && !between.contains("inet 172.30"))
        #expect(try node.cleanup(["--family", "ipv6"]).status == 0)
        #expect(!(try listing()).contains("kube-ipvs0"))
    }

    @Test("finds node ports at an address that the node has lost, at cleanup and when it applies again")
    func lostAddress() throws {
        for takesAway in [{ try node.cleanup([]) }, { try node.apply("nodeport", mode: "ipvs") }] {
            #expect(try node.apply("nodeport", mode: "ipvs").status == 0)
            #expect(try listing().contains("-A -t 192.168.0.2:"))
            let move = "addr del 192.168.0.2/32 dev lo\naddr add 192.168.0.9/32 dev lo\n"
            try node.namespace.require(["ip", "-batch", "-"], input: move)
            let result = try takesAway()
            #expect(result.status == 0, "\(result.errors)")
            #expect(!(try listing()).contains("-A -t 192.168.0.2:"))
            let back = "addr del 192.168.0.9/32 dev lo\naddr add 192.168.0.2/32 dev lo\n"
            try node.namespace.require(["ip", "-batch", "-"], input: back)
        }
        #expect(try node.cleanup([]).status == 0)
    }

    @Test("leaves all of it where another mode or a variant of iptables is named")
    func others() throws {
        #expect(try node.apply("dual-stack", mode: "ipvs").status == 0)
        let before = try listing()
        for mode in ["iptables", "nftables"] {
            let result = try node.cleanup(["--mode", mode])
            #expect(!result.errors.contains("removed"), "\(result.errors)")
            #expect(try listing() == before, "\(mode)")
        }
        #expect(try node.cleanup(["--variant", "legacy"]).status == 0)
        let after = try listing()
        #expect(!after.contains("-A KUBE-"))
        #expect(after.split(separator: "\n*")[0] == before.split(separator: "\n*")[0])
    }

    @Test("says that it may not look, rather than that there is less")
    func rights() throws {
        #expect(try node.apply("dual-stack", mode: "ipvs").status == 0)
        let result = try node.namespace.run(
            ["setpriv", "--bounding-set", "-net_admin", BuiltProducts.switchyard, "cleanup", "--mode", "ipvs"]
                + ["--dry-run"])
        #expect(result.status == 1 && !result.output.contains("ipvs"), "\(result.output)")
        for family in ["IPv4", "IPv6"] {
            #expect(result.errors.contains("error: \(family) ipvs: "), "\(result.errors)")
        }
    }

    @Test("of a change of the mode leaves virtual servers in excluded ranges, as if they were no service's")
    func excludedFromChange() throws {
        #expect(try node.apply("nodeport", mode: "ipvs").status == 0)
        try node.namespace.require(
            ["sh", "-ec", "ipset add KUBE-CLUSTER-IP 10.99.0.1,tcp:80; ipvsadm -A -t 10.99.0.1:80 -s rr"])
        // The configuration of that cluster excludes them.
        #expect(try node.apply("ipvs-scheduler-mh-exclude", mode: "iptables").status == 0)
        #expect(try node.namespace.require(["ipvsadm", "--save", "-n"]) == "-A -t 10.99.0.1:80 -s rr\n")
    }

    @Test("leaves excluded ranges, a device that is no dummy, and sets that others use")
    func foreign() throws {
        #expect(try node.apply("nodeport", mode: "ipvs").status == 0)
        try node.namespace.require(
            ["iptables-legacy", "-A", "FORWARD", "-m", "set", "--match-set", "KUBE-CLUSTER-IP", "dst,dst"])
        let result = try node.cleanup(["--ipvs-exclude-cidrs", "192.168.0.0/24"])
        #expect(result.status == 1)
        #expect(
            result.errors.contains("cannot destroy the set KUBE-CLUSTER-IP: the set is in use by rules"),
            "\(result.errors)")
        let after = try listing()
        #expect(after.contains("-A -t 192.168.0.2:") && !after.contains("-A -t 172.30."), "\(after)")
        #expect(try node.namespace.require(["ipset", "list", "KUBE-CLUSTER-IP"]).contains(",tcp:"))
        #expect(!after.contains("KUBE-NODE-PORT-TCP"))
        // What is left is no part of what was removed, and is found again.
        let sets = IPSet.allCases.count
        #expect(result.errors.contains(", \(sets - 1) sets,") && result.errors.contains("\(sets) sets"))
        let again = try node.cleanup(["--dry-run"])
        #expect(again.output == "IPv4 ipvs: 1 set\n  set KUBE-CLUSTER-IP\n")
        #expect(!again.errors.contains("nothing to remove"), "\(again.errors)")

        let other = try IPVSCommandNode()
        try other.namespace.require(
            ["sh", "-ec", "ip link add kube-ipvs0 type bridge; ip addr add 9.9.9.9/32 dev kube-ipvs0"])
        #expect(try other.cleanup([]).errors.contains("there is nothing to remove"))
        #expect(try other.namespace.require(["ip", "addr", "show", "kube-ipvs0"]).contains("9.9.9.9"))
    }
}
