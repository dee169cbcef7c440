import Foundation
import TestSupport
import Testing

private let cluster: [String] = {
    let golden = GoldenCase.named("affinity")
    return ["-f", golden.cluster, "--config", golden.configuration]
}()

/// A command with an option that it has no use for, and what it says.
private struct UselessOption: CustomTestStringConvertible {
    var command: [String]
    var sentence: String

    var testDescription: String { command.joined(separator: " ") }

    init(_ command: String, _ sentence: String) {
        self.command = command.split(separator: " ").map(String.init)
        self.sentence = sentence
    }

    /// Refused before anything is read.
    static let ofCommandLine = [
        UselessOption(
            "cleanup --dry-run --mode nftables --variant nft",
            "--variant has no use with --mode nftables, which has no variants."),
        UselessOption("render --all --out x --part nft", "--part has no use with --all, which writes every text."),
        UselessOption(
            "check --from iptables --to nftables --mode ipvs",
            "--mode has no use with --from and --to, which name the modes."),
        UselessOption("diff --saved x --layout kube-proxy", "--layout has no use with --saved."),
        UselessOption("diff --saved x --service-counters", "--service-counters has no use with --saved."),
        UselessOption(
            "explain --saved x --layout kube-proxy --from 1.1.1.1 --to 2.2.2.2:1", "--layout has no use with --saved."),
    ]

    private static let noVariants = "--variant: mode nftables has no variants; say --mode iptables"

    /// Refused once the mode is known.
    static let ofMode = [
        UselessOption("apply --dry-run --mode nftables --variant nft", noVariants),
        UselessOption("diff --mode nftables --variant nft", noVariants),
        UselessOption("check --mode nftables --variant nft", noVariants),
        UselessOption("check --from iptables --to nftables --variant nft", noVariants),
        UselessOption("explain --live --mode nftables --variant nft --from 1.1.1.1 --to 2.2.2.2:1", noVariants),
        UselessOption(
            "apply --dry-run --mode ipvs --nfacct", "--nfacct: mode ipvs has no such rules; say --mode iptables"),
        UselessOption(
            "apply --dry-run --mode nftables --no-nfacct",
            "--no-nfacct: mode nftables has no such rules; say --mode iptables"),
        UselessOption(
            "explain --live --mode ipvs --layout kube-proxy --from 1.1.1.1 --to 2.2.2.2:1",
            "--layout: mode ipvs has one layout only; say --mode nftables"),
    ]
}

@Suite("Options without a use")
struct OptionTests {
    @Test("are refused with the command line", arguments: UselessOption.ofCommandLine)
    private func commandLine(_ option: UselessOption) throws {
        let result = try Command.run([BuiltProducts.switchyard] + option.command)
        #expect(result.status == 2 && result.output == "")
        #expect(result.errors.hasPrefix("Error: \(option.sentence)\n"), "\(result.errors)")
    }

    @Test("are refused in the mode", arguments: UselessOption.ofMode)
    private func mode(_ option: UselessOption) throws {
        let result = try Command.run([BuiltProducts.switchyard] + option.command + cluster)
        #expect(result.status == 2 && result.output == "")
        #expect(result.errors == "switchyard: error: \(option.sentence)\n")
    }

    @Test("help names what is taken, and nothing that a command lacks")
    func help() throws {
        func help(_ command: String) throws -> String {
            let result = try Command.run([BuiltProducts.switchyard, command, "--help"])
            #expect(result.status == 0)
            return result.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
        #expect(!(try help("explain")).contains("TCP"))
        let run = try help("run")
        #expect(!run.contains("-f <file>") && !run.contains("Files") && !run.contains(" files,"), "\(run)")
        #expect(run.contains("files of a folder, which the daemon follows."))
    }
}

@Suite("Sources of objects")
struct SourceTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "source-\(UUID().uuidString)")

    @Test("a command without one names those that it has, with status 2")
    func none() throws {
        let sources = "a folder with --source, a cluster with --kubeconfig or an API server with --server"
        for command in [["render"], ["explain", "--from", "1.1.1.1", "--to", "2.2.2.2:1"]] {
            let result = try Command.run([BuiltProducts.switchyard] + command)
            #expect(result.status == 2 && result.output == "")
            #expect(
                result.errors == "switchyard: error: no source of objects: name files with -f, \(sources)\n",
                "\(command)")
        }
        let run = try Command.run([BuiltProducts.switchyard, "run", "--status-socket", ""])
        #expect(run.status == 2)
        #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
        #expect(run.errors.hasSuffix("Z error switchyard: no source of objects: name \(sources)\n"), "\(run.errors)")
    }

    @Test("a folder without manifests, and one that cannot be read, are told apart")
    func folders() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "notes.txt")
        try Data().write(to: file)
        for (path, sentence) in [
            (folder.path, "the folder has no file that ends in .yaml, .yml or .json"),
            (folder.path + "/none", "the folder cannot be opened: No such file or directory"),
            (file.path, "the folder cannot be opened: Not a directory"),
        ] {
            let result = try Command.run([BuiltProducts.switchyard, "render", "--source", path])
            #expect(result.status == 2)
            #expect(result.errors == "switchyard: \(path): error: \(sentence)\n")
        }
    }

    @Test(
        "the daemon warns of options without a use, and ends with 2 where its folder is not there", .kernel("nft"))
    func daemon() throws {
        let namespace = try Namespace()
        let run = try namespace.run(
            [BuiltProducts.switchyard, "run", "--status-socket", "", "--source", folder.path]
                + ["--mode", "nftables", "--variant", "nft", "--no-nfacct"])
        #expect(run.status == 2)
        #expect(!run.errors.contains("critical"), "\(run.errors)")
        for sentence in [
            "Z warning switchyard: --variant has no use: mode nftables has no variants\n",
            "Z warning switchyard: --no-nfacct has no use: mode nftables has no such rules\n",
            "Z error switchyard: the folder cannot be opened: No such file or directory at=\(folder.path)\n",
        ] {
            #expect(run.errors.contains(sentence), "\(run.errors)")
        }
    }

    @Test("an output that cannot be written is named with its cause")
    func output() throws {
        let result = try Command.run(
            [BuiltProducts.switchyard, "render", "--all", "--out", "/etc/passwd/folder"] + cluster)
        #expect(result.status == 2)
        #expect(
            result.errors
                == "switchyard: /etc/passwd/folder: error: iptables.v4.restore cannot be written: Not a directory\n")
    }
}

@Suite("Other modes than the one that is looked at", .kernel("nft", "iptables-nft-save", "ip6tables-nft-save"))
struct OtherModesTests {
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
