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
