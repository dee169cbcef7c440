import Foundation
import GoldenSupport
import ProxyCore
import TestSupport
import Testing

@Suite("switchyard apply in ipvs mode", .insideUserModeLinux)
struct IPVSApplyTests {
    private let namespace: Namespace

    init() throws {
        namespace = try Namespace()
        // The node of the golden clusters.
        let commands = ["link set lo up", "addr add 192.168.0.2/32 dev lo", "addr add 2001:db8::2/128 dev lo"]
        try namespace.require(["ip", "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
    }

    private func apply(_ golden: GoldenCase) throws -> Command.Result {
        try namespace.run([
            BuiltProducts.switchyard, "apply", "--mode", "ipvs", "--variant", "legacy", "-f", golden.cluster,
            "--config",
            golden.configuration,
        ])
    }

    /// What is not as the cluster wants it.
    private func differences(from golden: GoldenCase) throws -> [String] {
        try IPVSKernelState(in: namespace)
            .differences(from: IPVSKernelState(wanted: IPFamily.allCases.map(golden.ipvsTable)))
    }

    @Test("commits one cluster over another as the restore programs would, and then changes nothing")
    func clusters() throws {
        for name in ["affinity", "dual-stack", "loadbalancer-source-ranges", "many-endpoints", "empty"] {
            let golden = GoldenCase.named(name)
            let first = try apply(golden)
            #expect(first.status == 0, "\(name): \(first.errors)")
            #expect(try differences(from: golden) == [], "\(name)")
        }
        let settings = ["vs/conntrack", "vs/expire_nodest_conn", "vs/expire_quiescent_template", "ip_forward"]
        for setting in settings {
            #expect(try namespace.require(["cat", "/proc/sys/net/ipv4/\(setting)"]) == "1\n", "\(setting)")
        }
        let again = try apply(.named("empty"))
        #expect(again.errors.contains("; 0 changes to virtual servers"), "\(again.errors)")
        #expect(!again.errors.contains("error") && !again.errors.contains("warning"), "\(again.errors)")
    }

    @Test("sets the timeouts that the configuration has, and leaves the others")
    func timeouts() throws {
        let before = try timeoutsOfKernel()
        let golden = GoldenCase.named("empty")
        let path = FileManager.default.temporaryDirectory.appending(path: "ipvs-\(UUID().uuidString).yaml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let configuration = """
            apiVersion: kubeproxy.config.k8s.io/v1alpha1
            kind: KubeProxyConfiguration
            hostnameOverride: node1
            ipvs: {tcpTimeout: 20m, udpTimeout: 30s}

            """
        try Data(configuration.utf8).write(to: URL(filePath: path))
        let output = try namespace.run([
            BuiltProducts.switchyard, "apply", "--mode", "ipvs", "--variant", "legacy", "-f", golden.cluster,
            "--config",
            path,
        ])
        #expect(output.status == 0, "\(output.errors)")
        #expect(try timeoutsOfKernel() == ["1200", before[1], "30"])
    }

    /// TCP, TCP once one end has closed, UDP: seconds.
    private func timeoutsOfKernel() throws -> [String] {
        let line = try namespace.require(["ipvsadm", "-L", "--timeout"])
        let words = line.split { $0 == " " || $0 == "\n" }.suffix(3).map(String.init)
        try #require(words.count == 3)
        return words
    }

    @Test("mends what somebody has damaged, and leaves what is not ours")
    func damage() throws {
        let golden = GoldenCase.named("affinity")
        #expect(try apply(golden).status == 0)
        try namespace.require(
            ["sh", "-es"],
            input: """
                ipset del KUBE-CLUSTER-IP 172.30.1.1,tcp:80
                ipset add KUBE-NODE-PORT-UDP 53
                ipvsadm -d -t 172.30.1.1:80 -r 10.180.0.9:8080
                ipvsadm -e -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 0
                ipvsadm -E -t 1.2.3.4:80 -s wrr -p 10800
                ip addr del 1.2.3.4/32 dev kube-ipvs0
                ip addr add 2001:db8::1 dev kube-ipvs0
                iptables-legacy -D KUBE-SOURCE-RANGES-FIREWALL -j DROP
                ip6tables-legacy -D FORWARD 1

                """)
        #expect(try differences(from: golden).count > 8)
        let output = try apply(golden)
        #expect(output.status == 0, "\(output.errors)")
        #expect(try differences(from: golden) == [])

        let foreign = "-A -t 9.9.9.9:80 -s wlc\n-a -t 9.9.9.9:80 -r 10.9.9.9:80 -m -w 7\n"
        try namespace.require(["ipvsadm", "--restore"], input: foreign)
        try namespace.require(["ipset", "create", "FOREIGN", "hash:ip"])
        #expect(try apply(.named("empty")).status == 0)
        #expect(try namespace.require(["ipvsadm", "--save", "--numeric"]) == foreign)
        #expect(try namespace.require(["ipset", "list", "-n"]).contains("FOREIGN"))
    }
}
