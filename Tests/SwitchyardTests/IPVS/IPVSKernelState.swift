import ChainRenderer
import Foundation
import IPVSBackend
import ProxyCore
import TestSupport

/// What ipvs mode keeps in a kernel: as it is wanted, or as the programs list it that come with the kernel.
///
/// Both sides are brought to one spelling, without what a kernel adds by itself, and then compared: lines as sets of
/// lines, rules by their meaning, comment and order.
struct IPVSKernelState {
    /// Lines of `ipvsadm --save --numeric`.
    var servers: Set<String> = []
    /// Lines of `ipset save`.
    var sets: Set<String> = []
    /// Of `kube-ipvs0`, with their prefix lengths.
    var addresses: Set<String> = []
    /// Everything of the tables that are there.
    var rules: [IPFamily: RuleSet] = [:]

    /// What the tables of one family or of both ask for, in a kernel that had nothing before.
    init(wanted tables: [IPVSTable]) throws {
        for table in tables {
            servers.formUnion(Self.lines(table.ipvsadmText))
            sets.formUnion(Self.lines(table.ipsetText).map(Self.plain(set:)))
            addresses.formUnion(Self.lines(table.addressText).map { $0.contains(":") ? "\($0)/128" : "\($0)/32" })
            rules[table.settings.node.family] = try RuleSet(wanted: table.rules())
        }
    }

    /// Reads a namespace.
    init(in namespace: Namespace, families: [IPFamily] = IPFamily.allCases) throws {
        let listing = try namespace.require(["sh", "-es"], input: Self.listingScript(families))
        try self.init(listing: listing, families: families)
    }

    /// Takes apart what the listing script of the same families printed.
    init(listing: String, families: [IPFamily]) throws {
        let parts = listing.components(separatedBy: Self.mark)
        guard parts.count == 3 + families.count else { throw CommandFailure("not every listing is there: \(listing)") }
        servers = Set(Self.lines(parts[0]))
        sets = Set(Self.lines(parts[1]).map(Self.plain(set:)))
        addresses = Set(Self.lines(parts[2]).compactMap(Self.address))
        for (family, text) in zip(families, parts[3...]) {
            rules[family] = try RuleSet(parsing: Array(text.utf8), family: family)
        }
    }

    private static let mark = "==========\n"

    // MARK: Scripts

    /// A shell script that lists everything. Where a kernel runs as a program, starting one is what takes longest, so it
    /// starts few.
    static func listingScript(_ families: [IPFamily]) -> String {
        let saves = families.map { $0 == .ipv4 ? "iptables-legacy-save" : "ip6tables-legacy-save" }
        // The device is not there before a first commit.
        let commands =
            ["ipvsadm --save --numeric", "ipset save", "ip -o addr show dev kube-ipvs0 2>&1 || true"] + saves
        return commands.joined(separator: "\necho \(mark.dropLast())\n") + "\n"
    }

    /// A shell script that commits what is wanted to a namespace that has nothing yet, with the programs that restore
    /// what they list.
    static func restoringScript(_ tables: [IPVSTable]) -> String {
        func part(_ command: String, _ lines: [String]) -> String {
            "\(command) <<'END'\n" + lines.map { $0 + "\n" }.joined() + "END\n"
        }
        // Addresses come first: a namespace without any takes no address for one of a host, and no real server (EINVAL).
        let addresses = tables.flatMap { lines($0.addressText) }
        var script = part(
            "ip -batch -", ["link add kube-ipvs0 type dummy"] + addresses.map { "addr add \($0) dev kube-ipvs0" })
        script += part("ipset restore", tables.flatMap { lines($0.ipsetText) })
        script += part("ipvsadm --restore", tables.flatMap { lines($0.ipvsadmText) })
        for table in tables {
            let batch = table.rules()
            let program = batch.family == .ipv4 ? "iptables-legacy-restore" : "ip6tables-legacy-restore"
            script += part(program, ruleLines(batch))
        }
        return script
    }

    /// The input of a restore program that commits rules, jumps included, where there are none yet.
    static func ruleLines(_ batch: IPTablesBatch) -> [String] {
        var rules: [String] = []
        for part in batch.tables {
            rules += lines(String(decoding: part.text, as: UTF8.self)).filter { $0 != "COMMIT" }
            for jump in batch.jumps where jump.table == part.name {
                rules.append("-I \(jump.chain) \(jump.matches) -j \(jump.target)")
            }
            rules.append("COMMIT")
        }
        return rules
    }

    // MARK: Spelling

    private static func lines(_ text: String) -> [String] {
        text.split(separator: "\n").map { $0.drop { $0 == " " } }.filter { !$0.isEmpty }.map {
            String($0.reversed().drop { $0 == " " }.reversed())
        }
    }

    /// A line of `ipset save` without what the kernel adds, with the size that a set has before it grows, and with a
    /// range of one address written as `ipset save` has it, without its length.
    private static func plain(set line: String) -> String {
        let words = line.split(separator: " ").map(String.init)
        guard words.first == "create" else {
            let length = line.contains(".") ? "/32" : "/128"
            return line.hasSuffix(length) ? String(line.dropLast(length.count)) : line
        }
        var kept: [String] = []
        var index = 0
        while index < words.count {
            let next = index + 1 < words.count ? words[index + 1] : ""
            switch words[index] {
            case "bucketsize", "initval": index += 2
            case "hashsize":
                // It grows with the set.
                kept += ["hashsize", (Int(next) ?? 0) > 1024 ? "1024" : next]
                index += 2
            default:
                kept.append(words[index])
                index += 1
            }
        }
        return kept.joined(separator: " ")
    }

    /// Of a line of `ip -o addr`; nil for an address that IPv6 gives to each link.
    private static func address(_ line: String) -> String? {
        let words = line.split(separator: " ").map(String.init)
        guard words.count > 3, words[2] == "inet" || words[2] == "inet6", !words[3].hasPrefix("fe80:") else {
            return nil
        }
        return words[3]
    }
}
