import GoldenSupport
import IPVSBackend
import ProxyCore
import TestSupport
import Testing

private let cluster = GoldenCase.named("affinity")

@Suite("switchyard diff in ipvs mode", .insideUserModeLinux)
struct IPVSDiffTests {
    private let namespace: Namespace

    init() throws {
        namespace = try Namespace()
        // The node of the golden clusters.
        let commands = ["link set lo up", "addr add 192.168.0.2/32 dev lo", "addr add 2001:db8::2/128 dev lo"]
        try namespace.require(["ip", "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
    }

    private func run(_ command: String, _ arguments: String...) throws -> Command.Result {
        try namespace.run(
            [BuiltProducts.switchyard, command, "--mode", "ipvs", "--variant", "legacy", "-f", cluster.cluster]
                + ["--config", cluster.configuration] + arguments)
    }

    @Test("finds nothing after an apply, nor in what is drained or another's, and names each damage")
    func damage() throws {
        let before = try run("diff", "--family", "ipv4")
        #expect(before.status == 1)
        #expect(before.output.contains("all virtual servers\n  missing in ipvs all virtual servers: nothing of 3 "))
        #expect(try run("apply").status == 0)
        try namespace.require(
            ["sh", "-es"],
            input: """
                ipvsadm -a -t 172.30.1.1:80 -r 10.180.5.1:8080 -m -w 0
                ipvsadm -A -t 9.9.9.9:80 -s wlc
                ipset create FOREIGN hash:ip
                iptables-legacy -N FOREIGN
                iptables-legacy -A FORWARD -s 10.9.9.9 -j FOREIGN

                """)
        let after = try run("diff")
        #expect(after.status == 0 && after.output == "", "\(after)")
        #expect(after.errors.contains("IPv4: no difference in 3 virtual servers and 32 rules"), "\(after.errors)")
        try namespace.require(["sh", "-es"], input: IPVSKernelState.damageOfAffinity)
        let damaged = try run("diff")
        #expect(damaged.status == 1)
        #expect(damaged.output == Self.expected)
        let json = try run("diff", "--json", "--family", "ipv6")
        for part in [#""wantedServers" : 0"#, #""table" : "addresses""#, #""found" : ["#, #""2001:db8::1""#] {
            #expect(json.output.contains(part), "\(part): \(json.output)")
        }
    }

    private static let expected = """
        IPv4: 7 differences

        ns1/web:http
          changed in ipvs tcp 1.2.3.4:80
            - -A -t 1.2.3.4:80 -s rr -p 10800
            + -A -t 1.2.3.4:80 -s wrr -p 10800
          missing in ipvs tcp 172.30.1.1:80
            - -a -t 172.30.1.1:80 -r 10.180.0.9:8080 -m -w 1
          changed in ipvs tcp 172.30.1.1:80
            - -a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 1
            + -a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 0
          missing in ipset KUBE-CLUSTER-IP
            - add KUBE-CLUSTER-IP 172.30.1.1,tcp:80
          missing in addresses kube-ipvs0
            - 1.2.3.4

        KUBE-NODE-PORT-UDP
          foreign in ipset KUBE-NODE-PORT-UDP
            + add KUBE-NODE-PORT-UDP 53

        KUBE-SOURCE-RANGES-FIREWALL
          missing in filter KUBE-SOURCE-RANGES-FIREWALL: the chain is empty
            - -A KUBE-SOURCE-RANGES-FIREWALL -j DROP

        IPv6: 2 differences

        kube-ipvs0
          foreign in addresses kube-ipvs0
            + 2001:db8::1

        FORWARD
          missing in filter FORWARD
            - -A FORWARD -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL

        """
}

@Suite(
    "Rules around virtual servers in a save",
    .kernel("ipset", "iptables-nft-restore", "iptables-legacy-restore", "iptables-nft-save", "iptables-legacy-save"))
struct IPVSSavedDiffTests {
    @Test("are equal to those wanted, and are missed, whichever variant has saved them", arguments: ["legacy", "nft"])
    func variants(_ variant: String) throws {
        // Physical ports of bridges, types of addresses, and sets of every kind are among them.
        for name in ["loadbalancer-source-ranges", "external-ips"] {
            let golden = GoldenCase.named(name)
            let table = try golden.ipvsTable(.ipv4)
            let namespace = try Namespace()
            try namespace.require(["ipset", "restore"], input: table.ipsetText)
            let rules = IPVSKernelState.ruleLines(table.rules()).map { $0 + "\n" }.joined()
            try namespace.require(["iptables-\(variant)-restore"], input: rules)
            func diff() throws -> Command.Result {
                try Command.run(
                    [BuiltProducts.switchyard, "diff", "--mode", "ipvs", "--saved", "-", "-f", golden.cluster]
                        + ["--config", golden.configuration],
                    input: namespace.require(["iptables-\(variant)-save", "-c"]))
            }
            let equal = try diff()
            #expect(equal.status == 0, "\(name): \(equal)")
            for rule in ["KUBE-IPVS-FILTER 6", "INPUT 1"] {
                try namespace.require(["iptables-\(variant)", "-D"] + rule.split(separator: " ").map(String.init))
            }
            let damaged = try diff()
            #expect(damaged.status == 1)
            for line in ["missing in filter INPUT\n    - ", "missing in filter KUBE-IPVS-FILTER\n    - "] {
                #expect(damaged.output.contains(line), "\(damaged.output)")
            }
            #expect(damaged.output.hasPrefix("IPv4: 2 differences\n"), "\(damaged.output)")
        }
    }
}
