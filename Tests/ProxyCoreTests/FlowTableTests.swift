import ProxyCore
import Testing

@Suite("FlowTable")
struct FlowTableTests {
    @Test("writes rows as they were read, with the ends filled in")
    func rows() throws {
        let rows = try FlowTable.read(
            "# source\n10.0.0.1\tudp\t172.30.0.10\t53\n\n::1\tsctp\t::1\t9\t-\tfalse\n", name: "t")
        #expect(rows.map(\.packet.protocol) == [.udp, .sctp])
        #expect(rows.map(\.outcome) == [nil, "-"])
        let fate = PacketFate([.init(.drop, share: 1)])
        #expect(
            rows.map { $0.line(fate) } == [
                "10.0.0.1\tudp\t172.30.0.10\t53\tDROP\tfalse\n", "::1\tsctp\t::1\t9\tDROP\tfalse\n",
            ])
    }

    @Test("tells every fault with its line")
    func faults() {
        let table =
            "10.0.0.1 udp 172.30.0.10 53\n10.0.0.1\ticmp\t1.1.1.1\t1\nx\ttcp\t1.1.1.1\t1\n1.1.1.1\ttcp\ty\t1\n"
            + "1.1.1.1\ttcp\t::1\t1\n1.1.1.1\ttcp\t1.1.1.1\t0\n"
        let error = #expect(throws: InputError.self) { try FlowTable.read(table, name: "t") }
        #expect(
            error?.description == """
                t:1: error: a row needs source, protocol, destination and port, with tabs between them
                t:2: error: protocol "icmp": not tcp, udp or sctp
                t:3: error: source "x": not an IP address
                t:4: error: destination "y": not an IP address
                t:5: error: source 1.1.1.1 and destination ::1 are of different families
                t:6: error: port "0": not a number from 1 to 65535
                """)
    }

    @Test("a fate names each end once, in the order of texts, and adds shares up")
    func fates() throws {
        let one = PacketFate.End.endpoint(try #require(IPAddress("10.0.0.9")), port: 80)
        let two = PacketFate.End.endpoint(try #require(IPAddress("fd00::1")), port: 80)
        let fate = PacketFate([
            .init(two, share: 0.25), .init(one, share: 0.25, source: .masqueraded), .init(two, share: 0.25),
            .init(one, share: 0.25),
        ])
        #expect(fate.outcome == "10.0.0.9:80,[fd00::1]:80")
        #expect(fate.branches.map(\.share) == [0.25, 0.25, 0.5])
        #expect(fate.masquerades)
    }
}
