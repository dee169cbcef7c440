import ProxyCore
import Testing

@testable import BatchApplier

@Suite("iptables mode in the place of ipvs mode")
struct ReplacingIPVSTests {
    private static let batch = IPTablesBatch(
        family: .ipv4,
        tables: [
            .init(name: .filter, text: Array("*filter\n:KUBE-PROXY-FIREWALL - [0:0]\nCOMMIT\n".utf8)),
            .init(name: .nat, text: Array("*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\nCOMMIT\n".utf8)),
        ],
        jumps: [
            .init(table: .filter, chain: "INPUT", matches: "-m conntrack --ctstate NEW", target: "KUBE-PROXY-FIREWALL"),
            .init(table: .filter, chain: "INPUT", matches: "", target: "KUBE-NODEPORTS"),
        ], ownedChainPrefixes: ["KUBE-SVC-"])

    private static func input(_ target: String) -> String {
        let save = """
            *filter
            :INPUT ACCEPT [0:0]
            :KUBE-PROXY-FIREWALL - [0:0]
            [0:0] -A INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
            COMMIT
            *nat
            :PREROUTING ACCEPT [0:0]
            :KUBE-SERVICES - [0:0]
            [0:0] -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j \(target)
            COMMIT

            """
        let input = IPTablesInput(batch, before: IPTablesState(parsing: Array(save.utf8)), variant: .nft)
        return String(decoding: input.text.bytes, as: UTF8.self)
    }

    private static let deletion =
        "-D INPUT -m comment --comment \"kube-proxy firewall rules\" -j KUBE-PROXY-FIREWALL\n"

    @Test("table nat comes first, and table filter loses the jumps that would drop open connections")
    func ipvs() {
        let text = Self.input("KUBE-NODE-PORT")
        #expect(text.hasPrefix("*nat\n"), "\(text)")
        #expect(text.contains(Self.deletion), "\(text)")
    }

    @Test("else the order is that of the batch", arguments: ["KUBE-NODEPORTS", "OTHERS"])
    func others(_ target: String) {
        let text = Self.input(target)
        #expect(text.hasPrefix("*filter\n"), "\(text)")
        #expect(!text.contains("-D "), "\(text)")
    }
}
