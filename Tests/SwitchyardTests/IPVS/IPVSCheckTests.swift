import Foundation
import TestSupport
import Testing

@Suite("switchyard check in ipvs mode", .insideUserModeLinux)
struct IPVSCheckTests {
    private let namespace: Namespace

    init() throws {
        namespace = try Namespace()
    }

    private func check(_ modes: [String] = ["--mode", "ipvs"], _ arguments: String...) throws -> Command.Result {
        try namespace.run([BuiltProducts.switchyard, "check", "--variant", "legacy"] + modes + arguments)
    }

    @Test("finds everything in a kernel that has it, names a scheduler that it lacks, and leaves nothing behind")
    func everything() throws {
        let whole = try check()
        #expect(whole.status == 0, "\(whole)")
        for family in ["IPv4", "IPv6"] {
            #expect(whole.output.contains("\(family): this kernel has everything that ipvs mode uses\n"))
        }
        let path = FileManager.default.temporaryDirectory.appending(path: "check-\(UUID().uuidString).yaml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let configuration = """
            apiVersion: kubeproxy.config.k8s.io/v1alpha1
            kind: KubeProxyConfiguration
            hostnameOverride: node1
            ipvs: {scheduler: unheard}

            """
        try Data(configuration.utf8).write(to: URL(filePath: path))
        let without = try check(["--mode", "ipvs"], "--family", "ipv4", "--config", path, "--json")
        #expect(without.status == 1)
        #expect(
            without.output == """
                [
                  {
                    "family" : "IPv4",
                    "sentence" : "this kernel lacks the scheduler unheard of IPVS (CONFIG_IP_VS_UNHEARD): every service needs it"
                  }
                ]

                """)
        let change = try check(
            ["--from", "iptables", "--to", "ipvs"], "--family", "ipv6", "-f", GoldenCase.named("empty").cluster,
            "--config", path)
        #expect(change.status == 1)
        #expect(change.output.contains("IPv6: this kernel lacks the scheduler unheard of IPVS"), "\(change)")
        let left = try namespace.require(
            ["sh", "-es"], input: "ipset list -n\nipvsadm --save\niptables-legacy-save\nip -o link show type dummy\n")
        #expect(left == "")
    }
}

@Suite("switchyard check in ipvs mode without rights", .kernel("setpriv"))
struct IPVSCheckRightsTests {
    @Test("says with status 2 that it could not try", arguments: ["sys_admin", "net_admin"])
    func rights(_ capability: String) throws {
        let result = try Namespace().run(
            ["setpriv", "--bounding-set", "-\(capability)", BuiltProducts.switchyard, "check", "--mode", "ipvs"]
                + ["--family", "ipv4"])
        #expect(result.status == 2)
        #expect(result.output == "")
        let reason =
            capability == "sys_admin"
            ? "a network namespace to try things in cannot be made" : "CAP_NET_ADMIN in the network namespace"
        #expect(result.errors.contains("IPv4: what this node lacks is not known: "), "\(result.errors)")
        #expect(result.errors.contains(reason), "\(result.errors)")
    }
}
