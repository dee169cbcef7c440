import TestSupport
import Testing

@testable import ProxyCore

private func claimed(_ text: String) throws -> FlowDestination { .address(try end(text)) }

private func settled() -> FlowLab {
    FlowLab(
        settled: udpService("dns", "172.30.0.10", nodePort: 30053), udpService("log", "172.30.0.11"),
        slices: [udpSlice("dns", "10.0.0.1", "10.0.0.2"), udpSlice("log", "10.0.1.1")])
}

@Suite("FlowClaims")
struct FlowClaimsTests {
    @Test("the first query is a full one, and then nothing is asked until something changes")
    func first() throws {
        var lab = FlowLab()
        lab.update(.service(udpService("dns", "172.30.0.10")))
        let query = try lab.someQuery(ranges: "172.30.0.0/16", "fd00::/112")
        #expect(query.isFull && query.selectors == nil)
        #expect(query.serviceRanges.map(\.description) == ["172.30.0.0/16"])
        #expect(lab.query() == nil)
        lab.update(.service(udpService("dns", "172.30.0.10")))
        #expect(lab.query() == nil)
    }

    @Test("a service that loses an endpoint is asked for by its destinations, and no other service is")
    func lostEndpoint() throws {
        var lab = settled()
        lab.update(.endpointSlice(udpSlice("dns", "10.0.0.2", "10.0.0.3")))
        let query = try lab.someQuery(ranges: "172.30.0.0/16")
        #expect(!query.isFull && query.serviceRanges.isEmpty)
        #expect(Set(query.claims.keys) == [try claimed("172.30.0.10 53"), .nodePort(30053)])
        #expect(
            Set(query.selectors ?? []) == [
                .init(address: IPAddress("172.30.0.10"), port: 53), .init(address: nil, port: 30053),
            ])
        #expect(query.isStale(try flow("172.30.0.10 53 > 10.0.0.1 5353")))
        #expect(!query.isStale(try flow("172.30.0.10 53 > 10.0.0.3 5353")))
        #expect(lab.query() == nil)
    }

    @Test("an endpoint that joins others asks for nothing, one that is the first does")
    func joined() throws {
        var lab = settled()
        lab.update(.endpointSlice(udpSlice("dns", "10.0.0.1", "10.0.0.2", "10.0.0.3")))
        #expect(lab.query() == nil)
        lab.update(.endpointSliceDeleted(.valid("ns", "log")))
        _ = lab.query()
        lab.update(.endpointSlice(udpSlice("log", "10.0.1.1")))
        #expect(try lab.someQuery().claims.count == 1)
    }

    @Test("an endpoint that stops serving is asked for, one that begins to terminate is not")
    func terminating() throws {
        var lab = settled()
        lab.update(.endpointSlice(udpSlice("dns", "10.0.0.1", others: [("10.0.0.2", [.serving, .terminating])])))
        #expect(lab.query() == nil)
        lab.update(.endpointSlice(udpSlice("dns", "10.0.0.1", others: [("10.0.0.2", [.terminating])])))
        #expect(try lab.someQuery().isStale(try flow("172.30.0.10 53 > 10.0.0.2 5353")))
    }

    @Test("the last endpoint takes its flows with it")
    func lastEndpoint() throws {
        var lab = settled()
        lab.update(.endpointSliceDeleted(.valid("ns", "log")))
        let query = try lab.someQuery()
        #expect(query.claims == [try claimed("172.30.0.11 53"): .service(endpoints: [])])
        #expect(query.isStale(try flow("172.30.0.11 53 > 10.0.1.1 5353")))
    }

    @Test("a service that is deleted takes its flows with it, and leaves those of programs of the node")
    func deletedService() throws {
        var lab = settled()
        lab.update(.serviceDeleted(.valid("ns", "dns")))
        let query = try lab.someQuery()
        #expect(query.claims == [try claimed("172.30.0.10 53"): .nobody, .nodePort(30053): .nobody])
        #expect(query.isStale(try flow("172.30.0.10 53 > 10.0.0.1 5353")))
        #expect(query.isStale(try flow("192.0.2.1 30053 > 10.0.0.1 5353")))
        #expect(!query.isStale(try flow("192.0.2.1 30053")))
        #expect(!query.isStale(try flow("172.30.0.10 53")))
    }

    @Test("a port and an external IP that are taken away are asked for, and what remains is not")
    func lostDestination() throws {
        var lab = settled()
        var service = udpService("dns", "172.30.0.10", nodePort: 30053)
        service.externalIPs = [IPAddress("192.168.99.10")].compactMap(\.self)
        lab.update(.service(service))
        #expect(Set(try lab.someQuery().claims.keys) == [try claimed("192.168.99.10 53")])
        lab.forbidExternalIPs()
        #expect(try lab.someQuery().claims == [try claimed("192.168.99.10 53"): .nobody])
        service.ports[0].nodePort = 0
        lab.update(.service(service))
        #expect(try lab.someQuery().claims == [.nodePort(30053): .nobody])
    }

    @Test("a cluster IP that another service takes over is judged by that one")
    func takenOver() throws {
        var lab = settled()
        lab.update(.serviceDeleted(.valid("ns", "dns")))
        lab.update(.service(udpService("new", "172.30.0.10")), .endpointSlice(udpSlice("new", "10.0.2.1")))
        let query = try lab.someQuery()
        #expect(query.isStale(try flow("172.30.0.10 53 > 10.0.0.1 5353")))
        #expect(!query.isStale(try flow("172.30.0.10 53 > 10.0.2.1 5353")))
    }

    @Test("an external IP of two services leads to the endpoints of both")
    func shared() throws {
        var lab = settled()
        for name in ["dns", "log"] {
            var service = udpService(name, name == "dns" ? "172.30.0.10" : "172.30.0.11")
            service.externalIPs = [IPAddress("192.168.99.10")].compactMap(\.self)
            lab.update(.service(service))
        }
        _ = lab.query()
        lab.update(.endpointSlice(udpSlice("dns", "10.0.0.2")))
        let query = try lab.someQuery()
        #expect(query.isStale(try flow("192.168.99.10 53 > 10.0.0.1 5353")))
        #expect(!query.isStale(try flow("192.168.99.10 53 > 10.0.0.2 5353")))
        #expect(!query.isStale(try flow("192.168.99.10 53 > 10.0.1.1 5353")))
    }

    @Test("an external IP that is also a node port is judged by whoever still has it")
    func addressOfTheNode() throws {
        var lab = settled()
        var service = udpService("edge", "172.30.0.12", port: 30053)
        service.externalIPs = [IPAddress("192.0.2.1")].compactMap(\.self)
        lab.update(.service(service), .endpointSlice(udpSlice("edge", "10.0.3.1")))
        _ = lab.query()
        lab.update(.endpointSlice(udpSlice("dns", "10.0.0.1")))
        let whileBoth = try lab.someQuery()
        #expect(!whileBoth.isStale(try flow("192.0.2.1 30053 > 10.0.3.1 5353")))
        lab.update(.serviceDeleted(.valid("ns", "edge")))
        let afterwards = try lab.someQuery()
        #expect(afterwards.isStale(try flow("192.0.2.1 30053 > 10.0.3.1 5353")))
        #expect(!afterwards.isStale(try flow("192.0.2.1 30053 > 10.0.0.1 5353")))
    }

    @Test("what could not be cleaned is asked for again, as it is then")
    func putBack() throws {
        var lab = settled()
        lab.update(.serviceDeleted(.valid("ns", "dns")))
        let failed = try lab.someQuery()
        lab.claims.putBack(failed)
        lab.update(.endpointSliceDeleted(.valid("ns", "log")))
        let query = try lab.someQuery()
        #expect(Set(query.claims.keys) == Set(failed.claims.keys).union([try claimed("172.30.0.11 53")]))
        #expect(lab.query() == nil)
    }

    @Test("a full pass that failed is followed by another, which has not forgotten what is gone")
    func putBackFull() throws {
        var lab = settled()
        lab.claims.requireFullPass()
        lab.update(.serviceDeleted(.valid("ns", "dns")))
        let failed = try lab.someQuery()
        #expect(failed.isFull && failed.claims.count == 3)
        lab.claims.putBack(failed)
        #expect(try lab.someQuery() == failed)
        #expect(lab.query() == nil)
    }

    @Test("a query that has waited does not take the endpoints added meanwhile for stale")
    func refreshes() throws {
        var lab = settled()
        lab.update(.endpointSlice(udpSlice("dns", "10.0.0.2")))
        let query = try lab.someQuery()
        lab.update(.endpointSlice(udpSlice("dns", "10.0.0.2", "10.0.0.3")))
        #expect(lab.query() == nil)
        #expect(query.isStale(try flow("172.30.0.10 53 > 10.0.0.3 5353")))
        let refreshed = lab.claims.refreshed(query)
        #expect(!refreshed.isStale(try flow("172.30.0.10 53 > 10.0.0.3 5353")))
        #expect(refreshed.isStale(try flow("172.30.0.10 53 > 10.0.0.1 5353")))
        #expect(Set(refreshed.claims.keys) == Set(query.claims.keys))
    }

    @Test("a full pass that has waited knows every service that there is by now")
    func refreshesFull() throws {
        var lab = settled()
        lab.claims.requireFullPass()
        let query = try lab.someQuery(ranges: "172.30.0.0/16")
        lab.update(.service(udpService("new", "172.30.0.99")), .endpointSlice(udpSlice("new", "10.0.2.1")))
        let kept = try flow("172.30.0.99 53 > 10.0.2.1 5353")
        let gone = try flow("172.30.0.98 53 > 10.0.2.1 5353")
        #expect(query.isStale(kept))
        #expect(!lab.claims.refreshed(query).isStale(kept))
        #expect(lab.claims.refreshed(query).isStale(gone))
    }

    @Test("in random histories exactly the flows that lead nowhere are deleted", arguments: 0..<20 as Range<UInt64>)
    func histories(seed: UInt64) throws {
        var lab = FlowLab(seed % 2 == 0 ? .ipv4 : .ipv6)
        var objects = RandomObjects(seed: seed)
        var flows: Set<UDPFlow> = []
        var deleted = 0
        _ = lab.query()
        for _ in 0..<120 {
            for _ in 0..<Int.random(in: 1...4, using: &objects.generator) { lab.state.apply(objects.change()) }
            lab.update()
            // Somebody who judges all flows by the cluster as it is and knows no history.
            let fresh = try lab.freshQuery(ranges: "0.0.0.0/0", "::/0")
            let query = lab.query()
            for flow in flows {
                #expect(query?.isStale(flow) ?? false == fresh.isStale(flow), "\(flow)")
            }
            if let query, Int.random(in: 0..<4, using: &objects.generator) == 0 {
                lab.claims.putBack(query)
            } else {
                deleted += flows.count
                flows = flows.filter { !fresh.isStale($0) }
                deleted -= flows.count
            }
            for (destination, claim) in fresh.claims {
                guard case .service(let endpoints) = claim else { continue }
                let addresses: [TransportAddress] =
                    switch destination {
                    case .address(let end): [end]
                    case .nodePort(let port): lab.nodeAddresses.map { TransportAddress($0, port: port) }
                    }
                for address in addresses {
                    for endpoint in endpoints { flows.insert(UDPFlow(destination: address, replySource: endpoint)) }
                }
            }
        }
        #expect(deleted > 10)
    }
}
