import Foundation
import TestSupport
import Testing

@Suite("switchyard check of this node", .kernel("nft", "setpriv", "iptables-nft-restore", "iptables-legacy-restore"))
struct CheckNodeTests {
    private let namespace: Namespace
    private let golden = GoldenCase.named("affinity")

    init() throws {
        namespace = try Namespace()
    }

    private func switchyard(without capability: String? = nil, _ arguments: String...) throws -> Command.Result {
        let less = capability.map { ["setpriv", "--bounding-set", "-\($0)"] } ?? []
        return try namespace.run(less + [BuiltProducts.switchyard] + arguments)
    }

    @Test("finds everything that nftables mode needs, and leaves nothing behind")
    func nftables() throws {
        let result = try switchyard("check", "--mode", "nftables", "--family", "ipv4")
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output == "IPv4: this kernel has every feature of nf_tables that nftables mode uses\n")
        #expect(try namespace.require(["nft", "list", "ruleset"]) == "")
        let json = try switchyard("check", "--mode", "nftables", "--family", "ipv4", "--json")
        #expect(try JSONDecoder().decode([String].self, from: Data(json.output.utf8)) == [])
    }

    @Test("names the programs of iptables mode, and what lacks where there are none")
    func iptables() throws {
        let result = try switchyard("check", "--mode", "iptables")
        #expect(result.status == 0, "\(result.errors)")
        for words in ["IPv4: legacy: /", "IPv4: nft: /", "IPv6: legacy: /", "the variant nft would be used"] {
            #expect(result.output.contains(words), "\(result.output)")
        }
    }

    @Test("says with status 2 that it could not try without the right to")
    func rights() throws {
        for (capability, words) in [
            ("sys_admin", "a network namespace to try things in"), ("net_admin", "CAP_NET_ADMIN"),
        ] {
            let result = try switchyard(without: capability, "check", "--mode", "nftables", "--family", "ipv4")
            #expect(result.status == 2)
            #expect(result.output == "")
            #expect(result.errors.hasPrefix("switchyard: error: IPv4: what this node lacks is not known: "))
            #expect(result.errors.contains(words), "\(result.errors)")
        }
    }

    @Test("is part of the comparison of modes, which goes on where nothing can be tried")
    func comparison() throws {
        let arguments = ["-f", golden.cluster, "--config", golden.configuration]
        let command = [BuiltProducts.switchyard, "check", "--from", "iptables", "--to", "nftables"] + arguments
        let whole = try namespace.run(command)
        #expect(whole.status == 1 && whole.errors == "")
        let less = try namespace.run(["setpriv", "--bounding-set", "-sys_admin"] + command)
        #expect(less.status == 1 && less.output == whole.output)
        #expect(less.errors.contains("note: IPv4: what this node lacks is not known"), "\(less.errors)")
    }

    @Test("apply and run end with one sentence where nf_tables cannot be used")
    func start() throws {
        let sentence = "nf_tables cannot be used without root, or CAP_NET_ADMIN in the network namespace"
        let apply = try switchyard(
            without: "net_admin", "apply", "--mode", "nftables", "-f", golden.cluster, "--config", golden.configuration)
        #expect(apply.status == 1 && apply.output == "")
        #expect(apply.errors.hasPrefix("switchyard: error: \(sentence)"), "\(apply.errors)")
        #expect(apply.errors.split(separator: "\n").count == 1)
        let folder = FileManager.default.temporaryDirectory.appending(path: "empty-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let run = try switchyard(
            without: "net_admin", "run", "--mode", "nftables", "--source", folder.path, "--status-socket", "")
        #expect(run.status == 1)
        #expect(run.errors.split(separator: "\n").count == 1 && run.errors.contains("critical"), "\(run.errors)")
        #expect(run.errors.contains(sentence), "\(run.errors)")
    }
}
