import Foundation
import GoldenSupport
import IPVSBackend
import ProxyCore
import TestSupport
import Testing

@Suite("switchyard apply in ipvs mode", .insideUserModeLinux)
struct IPVSApplyTests {
    private let namespace: Namespace

    init() throws {
        namespace = try Self.node(["192.168.0.2", "2001:db8::2"])
    }

    /// A namespace that has these addresses, as the nodes of the golden clusters have them.
    private static func node(_ addresses: [String]) throws -> Namespace {
        let namespace = try Namespace()
        let commands = ["link set lo up"] + addresses.map { "addr add \($0) dev lo" }
        try namespace.require(["ip", "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
        return namespace
    }

    private func apply(
        _ golden: GoldenCase, _ arguments: String..., in namespace: Namespace? = nil
    ) throws -> Command.Result {
        try (namespace ?? self.namespace).run(
            [BuiltProducts.switchyard, "apply", "--mode", "ipvs", "--variant", "legacy", "-f", golden.cluster]
                + ["--config", golden.configuration] + arguments)
    }

    /// What is not as the cluster wants it.
    private func differences(from golden: GoldenCase, in namespace: Namespace? = nil) throws -> [String] {
        try IPVSKernelState(in: namespace ?? self.namespace)
            .differences(from: IPVSKernelState(wanted: IPFamily.allCases.map(golden.ipvsTable)))
    }

    @Test("commits every cluster over the one before as the restore programs would, and then changes nothing")
    func clusters() throws {
        var seen: Set<String> = []
        var nodes: [Set<IPAddress>: Namespace] = [:]
        var last: (golden: GoldenCase, node: Namespace)?
        for golden in GoldenCase.all {
            // Clusters that differ in what ipvs mode does not see are committed once.
            let tables = try IPFamily.allCases.map(golden.ipvsTable)
            guard seen.insert(IPVSKernelState.restoringScript(tables)).inserted else { continue }
            // Some clusters have a node with more addresses.
            let addresses = tables.reduce(into: Set<IPAddress>()) { $0.formUnion($1.settings.nodeAddresses) }
            let others = addresses.map(\.description).filter { $0 != "127.0.0.1" && $0 != "::1" }
            let node = try nodes[addresses] ?? Self.node(others)
            nodes[addresses] = node
            let first = try apply(golden, in: node)
            #expect(first.status == 0, "\(golden): \(first.errors)")
            #expect(try differences(from: golden, in: node) == [], "\(golden)")
            last = (golden, node)
        }
        #expect(seen.count >= 37)
        let (golden, node) = try #require(last)
        let settings = ["vs/conntrack", "vs/expire_nodest_conn", "vs/expire_quiescent_template", "ip_forward"]
        for setting in settings {
            #expect(try node.require(["cat", "/proc/sys/net/ipv4/\(setting)"]) == "1\n", "\(setting)")
        }
        let again = try apply(golden, in: node)
        #expect(again.errors.split(separator: "; 0 changes to virtual servers").count == 3, "\(again.errors)")
        #expect(try differences(from: golden, in: node) == [])
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

    @Test("has the node send from no address of a service in IPv6, also where another program has added it")
    func sources() throws {
        let golden = GoldenCase.named("dual-stack")
        #expect(try apply(golden).status == 0)
        func preferred() throws -> [String] {
            let listing = try namespace.require(["ip", "-6", "-o", "addr", "show", "dev", "kube-ipvs0"])
            return listing.split(separator: "\n").filter { !$0.contains("deprecated") }.map(String.init)
        }
        #expect(try preferred() == [])
        let address = try #require(try golden.ipvsTable(.ipv6).addresses.first)
        try namespace.require([
            "ip", "addr", "change", "\(address)/128", "dev", "kube-ipvs0", "preferred_lft", "forever",
        ])
        #expect(try preferred().count == 1)
        #expect(try apply(golden).status == 0)
        #expect(try preferred() == [])
        #expect(try differences(from: golden) == [])
    }

    @Test("takes back what was lent to its addresses while another mode was to take its place")
    func lentAddresses() throws {
        let golden = GoldenCase.named("dual-stack")
        #expect(try apply(golden).status == 0)
        func route() throws -> String { try namespace.require(["ip", "route", "get", "172.30.1.1"]) }
        #expect(try route().contains("src 172.30.1.1 "))
        try namespace.require(
            ["ip", "route", "replace", "local", "172.30.1.1", "dev", "kube-ipvs0", "table", "local"]
                + ["proto", "kernel", "scope", "host", "src", "192.168.0.2"])
        #expect(try route().contains("src 192.168.0.2 "))
        #expect(try apply(golden).status == 0)
        #expect(try route().contains("src 172.30.1.1 "))
    }

    @Test("prints in a dry run what would be done, as commands that do it, and does nothing")
    func dryRun() throws {
        let golden = GoldenCase.named("affinity")
        let before = try IPVSKernelState(in: namespace)
        let result = try apply(golden, "--dry-run")
        #expect(result.status == 0, "\(result.errors)")
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(lines.contains("ipset add KUBE-CLUSTER-IP 172.30.1.1,tcp:80"))
        #expect(lines.contains("-A KUBE-SOURCE-RANGES-FIREWALL -j DROP"))
        #expect(try IPVSKernelState(in: namespace).differences(from: before) == [])
        let commands = lines.filter { line in ["ipset ", "ipvsadm ", "ip add"].contains { line.hasPrefix($0) } }
        try namespace.require(
            ["sh", "-es"], input: "ip link add kube-ipvs0 type dummy\n" + commands.joined(separator: "\n") + "\n")
        let left = try apply(golden, "--dry-run").output
        #expect(!left.contains("ipset ") && !left.contains("ipvsadm ") && !left.contains("ip add"), "\(left)")
    }

    @Test("mends what somebody has damaged, and leaves what is not ours")
    func damage() throws {
        let golden = GoldenCase.named("affinity")
        #expect(try apply(golden).status == 0)
        try namespace.require(["sh", "-es"], input: IPVSKernelState.damageOfAffinity)
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
