import ArgumentParser
import ChainRenderer
import EndpointWatcher
import Foundation
import IPVSBackend
import ProxyCore

/// Writes rules as text, with no cluster and no kernel.
struct Render: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes the rules for a node as text.",
        discussion: """
            Without --all, one file goes to standard output. With --all, every file is written to --out, or compared \
            with those in --check, and the differences are printed. Status 0: done, and nothing differs, 1: something \
            differs, 2: bad input, or a file that cannot be written.
            """)

    enum Part: String, CaseIterable, ExpressibleByArgument {
        case restore, nft, ipset, ipvsadm, addresses

        /// The texts that a mode has; the first where none is asked for.
        static func parts(of mode: ProxyMode) -> [Part] {
            switch mode {
            case .iptables: [.restore]
            case .nftables: [.nft]
            case .ipvs: [.restore, .ipset, .ipvsadm, .addresses]
            }
        }
    }

    @OptionGroup var cluster: ClusterOptions

    @Option(help: "The family of the one file; ipv4 if it is not given. With --all: ipv4, ipv6 or both.")
    var family: FamilyChoice?

    @Option(
        help: """
            Which text: restore is the input of iptables-restore, nft that of nft -f; ipvs mode has ipset, ipvsadm and \
            addresses (of kube-ipvs0) too. The mode's first if it is not given.
            """
    )
    var part: Part?

    @OptionGroup var nftables: NFTOptions

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
        if all, part != nil { throw ValidationError("--part has no use with --all, which writes every text.") }
        if all, nfacct {
            throw ValidationError("--nfacct has no use with --all, which writes the files with and without.")
        }
        if all, nftables.layout != nil {
            throw ValidationError("--layout has no use with --all, which writes kube-proxy's.")
        }
        if all, nftables.serviceCounters {
            throw ValidationError("--service-counters has no use with --all, which writes the layout kube-proxy.")
        }
    }

    func run() async throws {
        let input = try await ClusterInput(cluster)
        var differs = false
        for file in all ? allFiles(input) : [try oneFile(input)] {
            if let check {
                differs = !Self.compare(file, with: all ? "\(check)/\(file.name)" : check) || differs
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

    private func allFiles(_ input: ClusterInput) -> [File] {
        let facts = HostFacts(of: input.node)
        var kubeProxy = nftables
        kubeProxy.layout = .kubeProxy
        return (family?.families ?? IPFamily.allCases).flatMap { family in
            [false, true].map { Self.restoreFile(input, family, facts, accounting: $0) }
                + [Self.nftFile(input, family, facts, kubeProxy)]
                + Part.parts(of: .ipvs).map { Self.ipvsFile(input, family, facts, $0) }
        }
    }

    /// The file that the mode and the options ask for. Throws where they contradict each other.
    private func oneFile(_ input: ClusterInput) throws -> File {
        let facts = HostFacts(of: input.node)
        let family = family?.families.first ?? .ipv4
        let parts = Part.parts(of: input.mode)
        let part = self.part ?? parts[0]
        guard parts.contains(part) else {
            throw InputError(
                "--part \(part.rawValue): mode \(input.mode.rawValue) has "
                    + "\(parts.map(\.rawValue).joined(separator: ", ")) only; say --mode")
        }
        try nftables.require(input.mode)
        try UselessOption.refuse([.nfacct(nfacct ? true : nil, in: input.mode)])
        switch input.mode {
        case .iptables: return Self.restoreFile(input, family, facts, accounting: nfacct)
        case .nftables: return Self.nftFile(input, family, facts, nftables)
        case .ipvs: return Self.ipvsFile(input, family, facts, part)
        }
    }

    private static func restoreFile(
        _ input: ClusterInput, _ family: IPFamily, _ facts: HostFacts, accounting: Bool
    ) -> File {
        var rules = input.rules(family, facts: facts, accounting: accounting)
        let name = "\(accounting ? "iptables-nfacct" : "iptables").\(family.shortName).restore"
        return File(name: name, text: rules.fullBatch().text)
    }

    private static func nftFile(
        _ input: ClusterInput, _ family: IPFamily, _ facts: HostFacts, _ options: NFTOptions
    ) -> File {
        File(
            name: "nftables.\(family.shortName).nft",
            text: input.nftablesText(family, facts: facts, options: options))
    }

    private static func ipvsFile(
        _ input: ClusterInput, _ family: IPFamily, _ facts: HostFacts, _ part: Part
    ) -> File {
        let table = input.ipvsTable(family, facts: facts)
        let text =
            switch part {
            case .ipset: Array(table.ipsetText.utf8)
            case .ipvsadm: Array(table.ipvsadmText.utf8)
            case .addresses: Array(table.addressText.utf8)
            case .restore, .nft: table.rules().text
            }
        return File(name: "ipvs.\(family.shortName).\(part.rawValue)", text: text)
    }

    /// True if the file at `path` has the text. Says on standard output what differs.
    private static func compare(_ file: File, with path: String) -> Bool {
        let old: [UInt8]
        do throws(ReadFailure) {
            old = try fileBytes(path: path)
        } catch {
            Console.write("\(path): \(error.sentence)\n")
            return false
        }
        guard
            let difference = UnifiedDiff.text(
                old: old, new: file.text, oldName: path, newName: "rendered/\(file.name)")
        else { return true }
        Console.write(difference)
        return false
    }

    private static func save(_ file: File, in out: String, all: Bool) throws(InputError) {
        do {
            if all { try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true) }
            try Data(file.text).write(to: URL(filePath: all ? "\(out)/\(file.name)" : out), options: .atomic)
        } catch {
            throw InputError("\(file.name) cannot be written: \(error.systemReason)", at: out)
        }
    }
}
