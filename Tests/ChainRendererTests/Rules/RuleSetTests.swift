import ChainRenderer
import Foundation
import ProxyCore
import TestSupport
import Testing

private func read(_ text: String) throws(RuleSetError) -> RuleSet {
    try RuleSet(parsing: Array(text.utf8), family: .ipv4)
}

/// A save that a real kernel printed.
private func readSave(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: GoldenCase.root.appending(path: "saves/kube-proxy-yaobank.\(name).save")))
}

@Suite("Rule sets")
struct RuleSetTests {
    @Test("keep tables, chains, policies, counters and rules of a save")
    func save() throws {
        let rules = try RuleSet(parsing: readSave("iptables-legacy.counters"), family: .ipv4)
        #expect(rules.tables.map(\.name) == ["filter", "mangle", "nat"])
        #expect(rules.ruleCount == 46)
        let input = try #require(rules["filter"]?["INPUT"])
        #expect(input.policy == "ACCEPT")
        #expect(input.counters == .init(packets: 19, bytes: 22051))
        #expect(input.rules.count == 4)
        #expect(input.rules[0].counters == .init(packets: 19, bytes: 22051))
        #expect(input.rules[0].description == "-j KUBE-FIREWALL")
        #expect(rules["nat"]?["KUBE-MARK-MASQ"]?.policy == nil)
        #expect(rules["nat"]?["KUBE-MARK-MASQ"]?.isBuiltIn == false)
    }

    @Test("leave nothing of what kube-proxy writes not understood", arguments: GoldenCase.all)
    func understood(_ golden: GoldenCase) throws {
        for name in ["iptables.v4", "iptables.v6", "iptables-nfacct.v4", "iptables-nfacct.v6"] {
            let text = try #require(golden.expected("\(name).restore"))
            let rules = try RuleSet(parsing: text, family: name.hasSuffix("4") ? .ipv4 : .ipv6)
            let unknown = rules.tables.flatMap(\.chains).flatMap(\.rules).filter { !$0.meaning.isUnderstood }
            #expect(unknown.map(\.description) == [])
            let lines = text.split(separator: UInt8(ascii: "\n")).count { $0.starts(with: "-A".utf8) }
            #expect(rules.ruleCount == lines)
        }
    }

    @Test("carry out commands that change a table line by line")
    func commands() throws {
        let rules = try read(
            """
            *filter
            :A - [0:0]
            -N B
            -P INPUT DROP
            -A A -j B
            -I A -j ACCEPT
            -I A 2 -j DROP
            [1:2] --append B -s 10.0.0.1 -j RETURN
            -N C
            -A C -j DROP
            -F C
            -X C
            COMMIT

            """)
        #expect(rules["filter"]?["A"]?.rules.map(\.description) == ["-j ACCEPT", "-j DROP", "-j B"])
        #expect(rules["filter"]?["B"]?.rules.first?.counters == .init(packets: 1, bytes: 2))
        #expect(rules["filter"]?["INPUT"]?.policy == "DROP")
        #expect(rules["filter"]?["C"] == nil)
    }

    @Test(
        "refuse what is no rule text with a line and a sentence",
        arguments: [
            ("*filter\n:INPUT ACCEPT [0:0]\n", 2, "the text ends within table filter, before its COMMIT"),
            ("*filter\nCOMMIT\n-A X -j Y\n", 3, "a rule without a table before it"),
            (":X - [0:0]\n", 1, "a chain without a table before it"),
            ("COMMIT\n", 1, "COMMIT without a table before it"),
            ("*nat\n*filter\n", 2, "table filter begins before the COMMIT of table nat"),
            ("*nat\nCOMMIT\n*nat\n", 3, "table nat is there a second time; give each family a file of its own"),
            ("*nat\n[1:x] -A X\n", 2, "\"[1:x]\" is not of the form [PACKETS:BYTES]"),
            (
                "*nat\n:X - [99999999999999999999:1]\n", 2,
                "\"[99999999999999999999:1]\" is not of the form [PACKETS:BYTES]"
            ),
            ("*nat\n:X\n", 2, "\":X\" is not of the form :CHAIN POLICY [PACKETS:BYTES]"),
            ("hello\u{7}\n", 1, "\"hello\u{fffd}\" is no line that iptables-save prints or iptables-restore reads"),
            ("*nat\n-D X -j Y\n", 2, "the command -D cannot be carried out on a text"),
            ("*nat\n-I X 7 -j Y\n", 2, "chain X has no place of this number"),
            ("*nat\n-A\n", 2, "\"-A\" names no chain"),
            (
                "# Table `nat' is incompatible, use 'nft' tool.\n", 1,
                "table nat holds rules made with nft that iptables-save cannot print"
            ),
            ("*\n", 1, "\"*\" names no table"),
        ])
    func refused(_ text: String, _ line: Int, _ reason: String) {
        #expect(throws: RuleSetError(line: line, reason: reason)) { try read(text) }
    }

    @Test("an empty text holds no tables")
    func empty() throws {
        #expect(try read("").tables.isEmpty)
        #expect(try read("# nothing\r\n\n").tables.isEmpty)
    }
}
