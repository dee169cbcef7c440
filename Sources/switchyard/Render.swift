import ArgumentParser
import ChainRenderer
import Foundation
import NFTBackend
import ProxyCore

/// Writes rules as text, with no cluster and no kernel.
struct Render: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes the rules for a node as text.",
        discussion: """
            Without --all, one file goes to standard output. With --all, every file is written to --out, or compared \
            with those in --check: the status is then 1 if any differs, and the differences are printed.
            """)

    enum Part: String, CaseIterable, ExpressibleByArgument { case restore, nft }

    @OptionGroup var cluster: ClusterOptions

    @Option(help: "The family of the one file; ipv4 if it is not given. With --all: ipv4, ipv6 or both.")
    var family: FamilyChoice?

    @Option(
        help: "Which text: restore is the input of iptables-restore, nft that of nft (default: by the mode).")
    var part: Part?

    @Option(help: "The layout of the text for nft: shared-maps or kube-proxy (default: shared-maps).")
    var layout: NFTLayout?

    @Flag(help: "Adds rules that count packets in the kernel's accounting objects (nfnetlink_acct).")
    var nfacct = false

    @Flag(help: "Every file for every mode, whatever the configuration's mode is.")
    var all = false

    @Option(help: ArgumentHelp("Writes here: a folder with --all, else a file.", valueName: "path"))
    var out: String?

    @Option(help: ArgumentHelp("Compares with this: a folder with --all, else a file.", valueName: "path"))
    var check: String?

    func validate() throws {
        if all, out == nil, check == nil { throw ValidationError("--all needs --out DIR or --check DIR.") }
        if out != nil, check != nil { throw ValidationError("--out and --check exclude each other.") }
        if !all, family == .both { throw ValidationError("--family both needs --all: one file is of one family.") }
        if all, part != nil || layout != nil {
            throw ValidationError("--all writes every file: leave out --part and --layout.")
        }
        if all, nfacct {
            throw ValidationError("--nfacct has no use with --all, which writes the files with and without.")
        }
    }

    func run() async throws {
        let input = try await ClusterInput(cluster)
        if !all, !isNFT(input) { try input.requireIPTables("rendered") }
        var differs = false
        for file in files(input) {
            if let check {
                differs = try !Self.compare(file, with: all ? "\(check)/\(file.name)" : check) || differs
            } else if let out {
                try Self.save(file, in: out, all: all)
            } else {
                Console.write(file.text)
            }
        }
        if differs { throw ExitStatus.failed }
    }

    private struct File {
        let name: String
        let text: [UInt8]
    }

    private func files(_ input: ClusterInput) -> [File] {
        let facts = HostFacts(of: input.node)
        let families = family?.families ?? (all ? IPFamily.allCases : [.ipv4])
        if !all, isNFT(input) {
            return families.map { nftFile(input, $0, facts, layout ?? .sharedMaps) }
        }
        let nft = all ? families.map { nftFile(input, $0, facts, .kubeProxy) } : []
        return nft
            + families.flatMap { family in
                (all ? [false, true] : [nfacct]).map { accounting in
                    var rules = input.rules(family, facts: facts, accounting: accounting)
                    let name = "\(accounting ? "iptables-nfacct" : "iptables").\(family.shortName).restore"
                    return File(name: name, text: rules.fullBatch().text)
                }
            }
    }

    private func isNFT(_ input: ClusterInput) -> Bool {
        part.map { $0 == .nft } ?? (input.mode == .nftables)
    }

    private func nftFile(
        _ input: ClusterInput, _ family: IPFamily, _ facts: HostFacts, _ layout: NFTLayout
    ) -> File {
        let (table, elements) = input.nftablesRuleset(family, facts: facts, layout: layout)
        var writer = NFTTextWriter()
        writer.write(table, elements: elements)
        return File(name: "nftables.\(family.shortName).nft", text: writer.text)
    }

    /// True if the file at `path` has the text. Says on standard output what differs.
    private static func compare(_ file: File, with path: String) throws -> Bool {
        guard let data = FileManager.default.contents(atPath: path) else {
            Console.write("\(path): the file is missing or cannot be read\n")
            return false
        }
        guard
            let difference = UnifiedDiff.text(
                old: Array(data), new: file.text, oldName: path, newName: "rendered/\(file.name)")
        else { return true }
        Console.write(difference)
        return false
    }

    private static func save(_ file: File, in out: String, all: Bool) throws {
        do {
            if all { try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true) }
            try Data(file.text).write(to: URL(filePath: all ? "\(out)/\(file.name)" : out), options: .atomic)
        } catch {
            Console.report("switchyard: error: \(out): \(file.name) cannot be written: \(error.localizedDescription)")
            throw ExitStatus.badInput
        }
    }
}
