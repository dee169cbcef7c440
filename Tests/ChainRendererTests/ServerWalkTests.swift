import ChainRenderer
import ProxyCore
import Testing

private let node = "192.168.0.2"
private let client = "203.0.113.5"
private let service = "172.30.1.1"

/// Follows a tcp packet to the virtual server of `service`, or to another address.
///
/// - Parameter realServers: by their addresses.
private func walk(
    _ scheduler: String, _ realServers: [String: FoundRealServer], rules: String = "", from source: String = client,
    to destination: String = service
) throws -> RuleWalkResult {
    let address = try #require(IPAddress(service))
    var server = FoundVirtualServer(
        scheduler: IPVSScheduler(scheduler), flags: [], persistenceSeconds: 0, persistencePrefixLength: 32)
    for (text, found) in realServers { server.realServers[RealServer(try #require(IPAddress(text)), 8080)] = found }
    let state = IPVSKernelState(servers: [.init(address, .tcp, 80): server], addresses: [address])
    let packet = Packet(
        from: try #require(IPAddress(source)), to: try #require(IPAddress(destination)), port: 80, protocol: .tcp)
    let local = LocalAddresses([try #require(IPAddress(node)), .loopback(.ipv4)])
    return RuleWalk(
        try RuleSet(parsing: Array(rules.utf8), family: .ipv4), local: local, servers: WalkedServers(state, .ipv4)
    ).walk(try #require(packet), order: .host)
}

private func ends(_ result: RuleWalkResult) -> [String] {
    result.fate.branches.map { "\($0.end) \($0.share) \($0.source == .masqueraded ? "masqueraded" : "unchanged")" }
}

@Suite("A walk through virtual servers")
struct ServerWalkTests {
    private static let three = [
        "10.0.0.1": FoundRealServer(weight: 3), "10.0.0.2": .init(weight: 1), "10.0.0.3": .init(weight: 0),
    ]

    @Test(
        "shares by weights where the scheduler does, and gives nothing to what is drained",
        arguments: [("wrr", 0.75), ("rr", 0.5)])
    func shares(_ scheduler: String, _ first: Double) throws {
        let result = try walk(scheduler, Self.three)
        #expect(ends(result) == ["10.0.0.1:8080 \(first) unchanged", "10.0.0.2:8080 \(1 - first) unchanged"])
        #expect(result.notes == [])
        #expect(result.steps.last?.rule == "real server 10.0.0.3:8080, weight 0, which gets no new connections")
    }

    @Test("says where the scheduler looks at what a packet does not tell, if there is a choice")
    func unknownShares() throws {
        let note =
            "the scheduler wlc looks at connections or addresses: the shares are as if all real servers were alike to it"
        #expect(try walk("wlc", Self.three).notes == [note])
        let one = try walk("wlc", ["10.0.0.1": .init(weight: 1), "10.0.0.2": .init(weight: 0)])
        #expect(one.notes == [] && one.fate.outcome == "10.0.0.1:8080")
    }

    @Test("ends with a refusal where every real server is drained, and shows them")
    func drained() throws {
        let result = try walk("rr", ["10.0.0.1": .init(weight: 0), "10.0.0.2": .init(weight: 0)])
        #expect(result.fate.outcome == "REJECT")
        #expect(result.endings.first?.step?.rule == "virtual server tcp 172.30.1.1:80, scheduler rr, 2 real servers")
    }

    @Test("tells what another program has made otherwise, and how many connections there are")
    func details() throws {
        let found = FoundRealServer(
            forwarding: .directRouting, weight: 1, activeConnections: 2, inactiveConnections: 3,
            persistentConnections: 0)
        #expect(
            try walk("rr", ["10.0.0.1": found]).steps.last?.rule
                == "real server 10.0.0.1:8080, weight 1, forwarded in another way than ours are, 2 active connections "
                + "and 3 others")
    }

    @Test("goes on by POSTROUTING to other hosts, and by INPUT to the node itself")
    func onward() throws {
        let rules = "*nat\n-A INPUT -p tcp\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
        let result = try walk("rr", ["10.0.0.1": .init(weight: 1), node: .init(weight: 1)], rules: rules)
        #expect(Set(ends(result)) == ["10.0.0.1:8080 0.5 masqueraded", "\(node):8080 0.5 unchanged"])
        let steps = result.steps.filter { $0.table == "nat" }.map { "\($0.hook) \($0.share)" }
        #expect(steps == ["INPUT 0.5", "POSTROUTING 0.5"])
    }

    @Test(
        "has rules that ask for a virtual server hold for what one has sent on alone, also where they ask for another")
    func condition() throws {
        let rules = "*filter\n-A OUTPUT -m ipvs ! --vproto 17 -j DROP\nCOMMIT\n"
        let servers = ["10.0.0.1": FoundRealServer(weight: 1)]
        #expect(try walk("rr", servers, rules: rules, from: node).fate.outcome == "DROP")
        #expect(try walk("rr", servers, rules: rules, from: node, to: "10.0.0.1").fate.outcome == "-")
    }
}
