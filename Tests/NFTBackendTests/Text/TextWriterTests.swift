import NFTBackend
import ProxyCore
import TestSupport
import Testing

@Suite("Text for nft")
struct TextWriterTests {
    private let identity = NFTTable.Identity(family: .ipv4, name: "t", comment: "it's \"ours\"\n")

    private func text(_ changes: NFTChange..., maps: Set<String> = []) -> String {
        var writer = NFTTextWriter(maps: maps)
        writer.write(NFTTransaction(identity, changes))
        return String(decoding: writer.text, as: UTF8.self)
    }

    @Test("has a table, its chains, sets, maps, rules and elements in that order, each by name")
    func order() {
        let table = NFTTable(
            identity,
            chains: [
                NFTChain(name: "b", rules: [NFTRule(.verdict(.drop)), NFTRule(.verdict(.accept))]),
                NFTChain(name: "a", rules: [NFTRule(.verdict(.jump("b")), comment: "on")]),
            ],
            sets: [
                NFTSet(name: "a-map", key: [.port], datum: .verdict), NFTSet(name: "z-set", key: [.port]),
                NFTSet(name: "y-set", key: [.port]),
            ])
        var writer = NFTTextWriter()
        writer.write(
            table,
            elements: [
                NFTElement(set: "a-map", key: [.port(2)], datum: .verdict(.return)),
                NFTElement(set: "z-set", key: [.port(2)]), NFTElement(set: "y-set", key: [.port(3)]),
                NFTElement(set: "z-set", key: [.port(1)]), NFTElement(set: "none", key: [.port(1)]),
            ])
        #expect(
            String(decoding: writer.text, as: UTF8.self) == """
                add table ip t { comment "it's 'ours' " ; }
                add chain ip t a
                add chain ip t b
                add set ip t y-set { type inet_service ; }
                add set ip t z-set { type inet_service ; }
                add map ip t a-map { type inet_service : verdict ; }
                add rule ip t a jump b comment "on"
                add rule ip t b drop
                add rule ip t b accept
                add element ip t y-set { 3 }
                add element ip t z-set { 2 }
                add element ip t z-set { 1 }
                add element ip t a-map { 2 : return }
                add element ip t none { 1 }

                """)
    }

    @Test("has the steps of a transaction one a line, in their order")
    func transaction() {
        let written = text(
            .addTable, .deleteTable(name: "old"), .flushChain("a"), .deleteChain("b"),
            .addCounter(NFTCounter(name: "c")),
            .addCounter(NFTCounter(name: "c2", packets: 7, bytes: 420)),
            .deleteCounter("d"), .deleteElement(set: "e", key: [.port(80), .number(65536)]),
            .addRule(NFTRule(.reject), chain: "f"))
        #expect(
            written == """
                add table ip t { comment "it's 'ours' " ; }
                delete table ip old
                flush chain ip t a
                delete chain ip t b
                add counter ip t c
                add counter ip t c2 packets 7 bytes 420
                delete counter ip t d
                delete element ip t e { 80 . 65536 }
                add rule ip t f reject

                """)
    }

    @Test("empties a map by the word that nft wants for it")
    func flush() {
        #expect(text(.flushSet("s"), maps: ["m"]) == "flush set ip t s\n")
        #expect(text(.flushSet("m"), maps: ["m"]) == "flush map ip t m\n")
        let map = NFTSet(name: "own", key: [.port], datum: .verdict)
        #expect(text(.addSet(map), .flushSet("own")).hasSuffix("\nflush map ip t own\n"))
    }

    @Test(
        "has a name of an interface in quotes where nft takes it for no name", .kernel("nft"),
        arguments: [
            "cni0": "cni0", "cali*": "cali*", "br-1.7": "br-1.7", "7up": "\"7up\"", "a b": "\"a b\"",
            "bridge": "\"bridge\"",
        ])
    func interface(name: String, written: String) throws {
        let rule = text(.addRule(NFTRule(.matchInterface(name)), chain: "a"))
        #expect(rule == "add rule ip t a iifname \(written)\n")
        let table = text(.addTable, .addChain(NFTChain(name: "a")))
        try Namespace().require(["nft", "-f", "-"], input: table + rule)
    }

    @Test("separates ranges as kube-proxy does: with blanks where they are excluded; both are read again")
    func ranges() throws {
        let ranges = try ["172.30.0.0/16", "10.96.0.0/12"].map { try #require(CIDR($0)) }
        let address = try #require(IPAddress("1.2.3.4"))
        let rules = [
            NFTRule(.matchAddresses(.destinationAddress, ranges)),
            NFTRule(.matchAddresses(.sourceAddress, ranges, and: [address], isNot: true)),
        ]
        let chain = NFTChain(name: "a", rules: rules)
        var writer = NFTTextWriter()
        writer.write(NFTTable(identity, chains: [chain], sets: []), elements: [])
        let written = String(decoding: writer.text, as: UTF8.self)
        #expect(
            written.hasSuffix(
                """
                add rule ip t a ip daddr { 172.30.0.0/16,10.96.0.0/12 }
                add rule ip t a ip saddr != { 172.30.0.0/16 , 10.96.0.0/12 , 1.2.3.4 }

                """))
        #expect(try NFTTextReader.read(written).table.chains == [chain])
    }

    @Test(
        "of every shape that the layouts have is taken by nft", .kernel("nft"), arguments: IPFamily.allCases)
    func loads(_ family: IPFamily) throws {
        let example = SharedMapsExample(family)
        var table = example.table
        // nft 1.0.6 asserts where rules add to a map whose key is longer than 16 bytes.
        if family == .ipv6 {
            for index in table.chains.indices where table.chains[index].name.contains("sticky-") {
                table.chains[index].rules.removeAll { !$0.statements.allSatisfy(isTakenInIPv6) }
            }
        }
        var writer = NFTTextWriter()
        writer.write(table, elements: example.elements)
        try Namespace().require(["nft", "-f", "-"], input: String(decoding: writer.text, as: UTF8.self))
    }

    private func isTakenInIPv6(_ statement: NFTStatement) -> Bool {
        switch statement {
        case .update, .delete: false
        default: true
        }
    }
}
