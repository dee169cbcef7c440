import BatchApplier
import Foundation
import ProxyCore
import Testing

@testable import SyncLoop

extension DaemonStatus {
    /// One in which everything has happened.
    static func eventful(at now: Date) -> DaemonStatus {
        var status = DaemonStatus(
            version: "1.2.3", mode: .iptables, variant: .nft, nodeName: "worker-1", processID: 4711,
            startedAt: now - 183_845, source: Source(description: "manifests in /etc/switchyard"))
        status.healthy = false
        status.problems = ["IPv4 rules were not written for 3 m.", "Services cannot be followed."]
        status.source.synced = [.service, .endpointSlice, .node]
        status.source.interrupted = [Interruption(kind: .service, since: now - 61, reason: "connection refused")]
        var family = Family(family: .ipv4)
        family.lastSync = Sync(
            finishedAt: now - 180, duration: .milliseconds(140), kind: .partial, servicePorts: 3, batches: 1)
        family.lastFailure = Failure(
            at: now - 2, sentence: "Cannot commit the tables filter, nat: refused\u{1b}[1m.",
            inputLines: [
                .init(number: 9, text: "-A KUBE-SVC-A -j X", isNamed: false),
                .init(number: 10, text: "COMMIT", isNamed: true),
            ],
            aftermath: "The table filter was put back.")
        family.pendingChanges = PendingChanges(count: 1, since: now - 180)
        family.retryAt = now + 4
        family.lastCheck = Check(finishedAt: now - 25, duration: .seconds(75), findings: 0)
        family.drift.mended = ["missing": 2, "jump": 1, "chain": 0]
        family.drift.last = Drift.Incident(at: now - 3600, differences: ["jump to KUBE-SERVICES in nat PREROUTING"])
        family.contested = Contest(since: now - 600, by: "kube-proxy (process 99)")
        var other = Family(family: .ipv6)
        other.refusals = ["cannot add an address"]
        other.drainingEndpoints = 2
        status.families = [family, other]
        status.conntrack = Conntrack(
            lastCleaned: now - 3, deleted: 12, duration: .milliseconds(7), failure: "No such device.")
        status.logLinesDropped = 5
        return status
    }
}

@Suite("DaemonStatus")
struct DaemonStatusTests {
    private let now = Date(timeIntervalSince1970: 1_767_323_045)

    @Test("reads back as it was written")
    func roundTrip() throws {
        let status = DaemonStatus.eventful(at: now)
        #expect(try DaemonStatus(document: status.document()) == status)
    }

    @Test("is one JSON object, its times in UTC")
    func json() throws {
        let document = try DaemonStatus.eventful(at: now).document()
        #expect(document.last == UInt8(ascii: "\n"))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(document)) as? [String: Any])
        #expect(object["healthy"] as? Bool == false)
        let families = try #require(object["families"] as? [[String: Any]])
        #expect(families.map { $0["family"] as? String } == ["IPv4", "IPv6"])
        #expect(families.first?["retryAt"] as? String == "2026-01-02T03:04:09.000Z")
    }

    @Test("says first what is wrong, then everything else")
    func text() {
        #expect(
            DaemonStatus.eventful(at: now).text(at: now) == """
                NOT HEALTHY: IPv4 rules were not written for 3 m.
                  Services cannot be followed.

                switchyard 1.2.3, iptables (nft), node worker-1, process 4711, started 2 d 3 h ago
                source          manifests in /etc/switchyard, waiting for ServiceCIDR
                                Service interrupted 1 m 1 s ago: connection refused
                IPv4
                  last sync     3 m 0 s ago, partial, 3 service ports, 1 batch, took 0.14 s
                  pending       1 change, the oldest received 3 m 0 s ago
                  contested     for 10 m 0 s by kube-proxy (process 99)
                  last failure  2 s ago: Cannot commit the tables filter, nat: refused\\u{1B}[1m.
                                The table filter was put back.
                                   9 -A KUBE-SVC-A -j X
                                > 10 COMMIT
                  next attempt  in 4 s
                  last check    25 s ago, no differences, took 1 m 15 s
                  mended        3 differences (jump 1, missing 2)
                  last mended   1 h 0 m ago
                                jump to KUBE-SERVICES in nat PREROUTING
                IPv6
                  last sync     none yet
                  refused       cannot add an address
                  draining      2 endpoints
                  last check    none yet
                conntrack       cleaned 3 s ago, 12 stale removed, took 0.01 s
                                No such device.
                log             5 lines lost

                """)
    }

    @Test("is short where all is well")
    func healthy() {
        var status = DaemonStatus(
            version: "1", mode: .nftables, variant: nil, nodeName: "n", processID: 7, startedAt: now + 5,
            source: .init(description: "API server https://10.0.0.1"))
        status.source.synced = ObjectKind.allCases
        #expect(
            status.text(at: now) == """
                healthy

                switchyard 1, nftables, node n, process 7, started 0 s ago
                source          API server https://10.0.0.1

                """)
    }
}
