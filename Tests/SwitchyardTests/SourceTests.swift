import Foundation
import TestSupport
import Testing

@Suite("Sources of objects")
struct SourceTests {
    private let yaobank = GoldenCase.named("yaobank")
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
        let run = try Command.run([BuiltProducts.switchyard, "run", "--status-socket", "", "--no-nfacct"])
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
            [BuiltProducts.switchyard, "render", "--all", "--out", "/etc/passwd/folder", "-f", yaobank.cluster]
                + ["--config", yaobank.configuration])
        #expect(result.status == 2)
        #expect(
            result.errors
                == "switchyard: /etc/passwd/folder: error: iptables.v4.restore cannot be written: Not a directory\n")
    }
}
