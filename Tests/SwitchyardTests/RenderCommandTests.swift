import Foundation
import TestSupport
import Testing

/// A folder for a test's files, gone when the test is.
private final class Scratch {
    let path = FileManager.default.temporaryDirectory.appending(path: "switchyard-\(UUID().uuidString)").path

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file and returns its path.
    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        try Data(text.utf8).write(to: URL(filePath: file))
        return file
    }
}

private let yaobank = GoldenCase.named("yaobank")
private let dualStack = GoldenCase.named("dual-stack")

private func switchyard(_ arguments: String..., input: String = "") throws -> Command.Result {
    try Command.run([BuiltProducts.switchyard] + arguments, input: input)
}

private func render(_ golden: GoldenCase, _ arguments: String...) throws -> Command.Result {
    try Command.run(
        [BuiltProducts.switchyard, "render", "-f", golden.cluster, "--config", golden.configuration] + arguments)
}

@Suite("switchyard render")
struct RenderCommandTests {
    @Test("prints one file, of IPv4 if not told otherwise")
    func oneFile() throws {
        for (options, file) in [
            ([], "iptables.v4.restore"), (["--family", "ipv6"], "iptables.v6.restore"),
            (["--nfacct"], "iptables-nfacct.v4.restore"),
            (["--part", "restore", "--mode", "iptables"], "iptables.v4.restore"),
            (["--mode", "nftables", "--layout", "kube-proxy"], "nftables.v4.nft"),
            (["--mode", "nftables", "--part", "nft", "--layout", "kube-proxy", "--family", "ipv6"], "nftables.v6.nft"),
        ] {
            let output = try Command.run(
                [BuiltProducts.switchyard, "render", "-f", dualStack.cluster, "--config", dualStack.configuration]
                    + options)
            #expect(output.status == 0)
            #expect(Array(output.output.utf8) == dualStack.expected(file))
            #expect(output.errors.isEmpty)
        }
    }

    @Test("writes every file with --all --out and finds them equal with --all --check")
    func allFiles() throws {
        let scratch = try Scratch()
        #expect(try render(dualStack, "--all", "--out", "\(scratch.path)/new/folder").status == 0)
        let files = try FileManager.default.contentsOfDirectory(atPath: "\(scratch.path)/new/folder").sorted()
        let expected = [
            "iptables-nfacct.v4.restore", "iptables-nfacct.v6.restore", "iptables.v4.restore", "iptables.v6.restore",
            "ipvs.v4.addresses", "ipvs.v4.ipset", "ipvs.v4.ipvsadm", "ipvs.v4.restore", "ipvs.v6.addresses",
            "ipvs.v6.ipset", "ipvs.v6.ipvsadm", "ipvs.v6.restore", "nftables.v4.nft", "nftables.v6.nft",
        ]
        #expect(files == expected)
        for file in files {
            let written = try Data(contentsOf: URL(filePath: "\(scratch.path)/new/folder/\(file)"))
            #expect(Array(written) == dualStack.expected(file))
        }
        let check = try render(dualStack, "--all", "--check", "\(scratch.path)/new/folder")
        #expect(check.status == 0)
        #expect(check.output.isEmpty)
    }

    @Test("every golden cluster passes its own check", arguments: GoldenCase.all)
    func check(_ golden: GoldenCase) throws {
        let output = try render(golden, "--all", "--check", golden.directory.path)
        #expect(output.status == 0, "\(output.output.prefix(2000))\(output.errors)")
    }

    @Test("shows what differs as a unified diff, and names a file that is missing")
    func differences() throws {
        let scratch = try Scratch()
        _ = try render(yaobank, "--all", "--out", scratch.path)
        let file = "\(scratch.path)/iptables.v4.restore"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        _ = try scratch.write("iptables.v4.restore", text.replacing("0.5000000000", with: "0.4000000000"))
        try FileManager.default.removeItem(atPath: "\(scratch.path)/iptables.v6.restore")
        let output = try render(yaobank, "--all", "--check", scratch.path)
        #expect(output.status == 1)
        let lines = output.output.split(separator: "\n").map(String.init)
        #expect(lines[0] == "--- \(file)")
        #expect(lines.filter { $0.hasPrefix("-") && $0.contains("0.4000000000") }.count == 1)
        #expect(lines.filter { $0.hasPrefix("+") && $0.contains("0.5000000000") }.count == 1)
        #expect(lines.last == "\(scratch.path)/iptables.v6.restore: cannot be opened: No such file or directory")
    }

    @Test("reads standard input, folders, and documents in any order")
    func inputs() throws {
        let expected = yaobank.expected("iptables.v4.restore")
        let text = try String(contentsOfFile: yaobank.cluster, encoding: .utf8)
        let piped = try switchyard("render", "-f", "-", "--config", yaobank.configuration, input: text)
        #expect(Array(piped.output.utf8) == expected)

        let scratch = try Scratch()
        let documents = text.components(separatedBy: "---\n")
        for (index, document) in documents.reversed().enumerated() {
            _ = try scratch.write("\(index).\(["json", "yaml", "yml"][index % 3])", document)
        }
        _ = try scratch.write("notes.txt", "not a manifest")
        let folder = try switchyard("render", "--source", scratch.path, "--config", yaobank.configuration)
        #expect(Array(folder.output.utf8) == expected)
    }

    @Test("takes the node's name from the option over the configuration's, trimmed and in lower case")
    func nodeName() throws {
        let scratch = try Scratch()
        let config = try scratch.write(
            "config.yaml",
            """
            apiVersion: kubeproxy.config.k8s.io/v1alpha1
            kind: KubeProxyConfiguration
            hostnameOverride: elsewhere
            clusterCIDR: 198.19.16.0/20
            """)
        let refused = try switchyard("render", "-f", yaobank.cluster, "--config", config)
        #expect(refused.status == 2)
        #expect(refused.output.isEmpty)
        #expect(
            refused.errors
                == "switchyard: error: node name \"elsewhere\": none of the given Nodes has it (node1); "
                + "name one with --hostname-override or hostnameOverride\n")
        let named = try switchyard(
            "render", "-f", yaobank.cluster, "--config", config, "--hostname-override", " NODE1 ")
        #expect(Array(named.output.utf8) == yaobank.expected("iptables.v4.restore"))
    }

    @Test("tells every fault of every file at once and prints no rule")
    func severalFaults() throws {
        let scratch = try Scratch()
        let config = try scratch.write(
            "config.yaml",
            """
            apiVersion: kubeproxy.config.k8s.io/v1alpha1
            kind: KubeProxyConfiguration
            clusterCIDR: everywhere
            iptables: {masqueradeBit: 40}
            """)
        let empty = try scratch.write("empty.yaml", "")
        let broken = try scratch.write("broken.yaml", "kind: Service\nmetadata: {name: web\n")
        let output = try switchyard("render", "-f", empty, broken, "\(scratch.path)/none.yaml", "--config", config)
        #expect(output.status == 2)
        #expect(output.output.isEmpty)
        let lines = output.errors.split(separator: "\n")
        #expect(lines.count == 5)
        #expect(lines.contains("switchyard: \(empty): error: has no documents"))
        #expect(
            lines.contains("switchyard: \(scratch.path)/none.yaml: error: cannot be opened: No such file or directory"))
        #expect(lines.contains { $0.hasPrefix("switchyard: \(broken):3: error: is not valid YAML") })
        #expect(lines.contains { $0.hasPrefix("switchyard: \(config):3: error: clusterCIDR: everywhere") })
        #expect(lines.contains { $0.hasPrefix("switchyard: \(config):4: error: iptables.masqueradeBit: 40") })
    }

    @Test("a fault inside a service costs a port with a warning, and is refused under --strict")
    func strict() throws {
        let scratch = try Scratch()
        let manifest = try scratch.write(
            "web.yaml",
            """
            kind: Service
            apiVersion: v1
            metadata: {name: web}
            spec:
              clusterIP: 172.30.0.5
              ports:
              - {name: good, port: 80}
              - {name: bad, port: 70000}
            """)
        let lenient = try switchyard("render", "-f", manifest)
        #expect(lenient.status == 0)
        #expect(lenient.output.contains("default/web:good has no endpoints"))
        #expect(!lenient.output.contains("default/web:bad"))
        #expect(
            lenient.errors.contains("\(manifest):8: warning: Service default/web: spec.ports[1].port: 70000"))
        #expect(lenient.errors.contains("no Node is given"))
        let strict = try switchyard("render", "-f", manifest, "--strict")
        #expect(strict.status == 2)
        #expect(strict.output.isEmpty)
        #expect(strict.errors.contains("spec.ports[1].port: 70000"))
    }

    @Test(
        "a wrong command line is bad input",
        arguments: [
            ["render"], ["render", "--bogus"], ["render", "-f", "x", "--all"],
            ["render", "-f", "x", "--family", "both"],
            ["render", "-f", "x", "--mode", "userspace"], ["bogus"],
            ["render", "-f", "x", "--out", "a", "--check", "b"],
            ["render", "-f", "x", "--all", "--out", "a", "--layout", "kube-proxy"],
        ])
    func usage(_ arguments: [String]) throws {
        let output = try Command.run([BuiltProducts.switchyard] + arguments)
        #expect(output.status == 2)
        #expect(output.output.isEmpty)
        #expect(!output.errors.isEmpty)
    }

    @Test("help is no error")
    func help() throws {
        let output = try switchyard("render", "--help")
        #expect(output.status == 0)
        #expect(output.output.contains("USAGE: switchyard render"))
    }

    @Test("nftables mode is laid out in shared maps if not told otherwise")
    func sharedMaps() throws {
        let output = try render(yaobank, "--mode", "nftables")
        #expect(output.status == 0, "\(output.errors)")
        #expect(output.output.hasPrefix("add table ip switchyard"))
        #expect(output.output == (try render(yaobank, "--mode", "nftables", "--layout", "shared-maps")).output)
    }

    @Test(
        "what cannot be rendered, or not in the mode, is refused in one sentence",
        arguments: [
            (
                ["--mode", "ipvs", "--part", "nft"],
                "--part nft: mode ipvs has restore, ipset, ipvsadm, addresses only; say --mode"
            ),
            (["--mode", "ipvs", "--nfacct"], "--nfacct: mode ipvs has no such rules; say --mode iptables"),
            (["--mode", "nftables", "--part", "restore"], "--part restore: mode nftables has nft only; say --mode"),
            (["--part", "nft"], "--part nft: mode iptables has restore only; say --mode"),
            (["--layout", "kube-proxy"], "--layout: mode iptables has one layout only; say --mode nftables"),
            (["--mode", "nftables", "--nfacct"], "--nfacct: mode nftables has no such rules; say --mode iptables"),
        ])
    func contradictions(_ options: [String], _ sentence: String) throws {
        let output = try Command.run(
            [BuiltProducts.switchyard, "render", "-f", yaobank.cluster, "--config", yaobank.configuration] + options)
        #expect(output.status == 2)
        #expect(output.output.isEmpty)
        #expect(output.errors == "switchyard: error: \(sentence)\n")
    }

    @Test("equal runs give equal bytes")
    func repeatable() throws {
        let golden = GoldenCase.named("large-cluster-mode")
        for mode in ["iptables", "nftables", "ipvs"] {
            let first = try render(golden, "--mode", mode).output
            for _ in 0..<3 { #expect(try render(golden, "--mode", mode).output == first) }
        }
    }
}
