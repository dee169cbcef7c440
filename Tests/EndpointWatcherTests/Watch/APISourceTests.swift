import EndpointWatcher
import ProxyCore
import TestSupport
import Testing

@Suite("APISource", .timeLimit(.minutes(10)))
struct APISourceTests {
    private typealias Case = MachineCase

    private static let services = "/api/v1/services"

    /// A page without objects.
    private static let empty = #"{"metadata":{"resourceVersion":"10"},"items":[]}"#

    private func source(_ transport: ScriptedTransport, _ clock: ManualClock = ManualClock()) -> APISource {
        APISource(
            transport: transport, node: "node1", protobuf: nil, clock: clock, random: SeededGenerator(seed: 3))
    }

    /// Runs a source until `isEnough` of what it reported. Its clock goes on, five seconds each millisecond, or stands
    /// still.
    private func run(
        _ source: APISource, _ clock: ManualClock, standsStill: Bool = false,
        until isEnough: @Sendable @escaping ([SourceUpdate]) -> Bool
    ) async throws -> [SourceUpdate] {
        let (stream, continuation) = AsyncStream.makeStream(of: SourceUpdate.self)
        return try await withThrowingTaskGroup(of: [SourceUpdate].self) { group in
            group.addTask {
                try await source.run { continuation.yield($0) }
                return []
            }
            group.addTask {
                while !standsStill, (try? await Task.sleep(for: .milliseconds(1))) != nil {
                    clock.advance(by: .seconds(5))
                }
                return []
            }
            group.addTask {
                var updates: [SourceUpdate] = []
                for await update in stream {
                    updates.append(update)
                    if isEnough(updates) { break }
                }
                return updates
            }
            while let updates = try await group.next() {
                guard !updates.isEmpty else { continue }
                group.cancelAll()
                // Returns only when the source has.
                while try await group.next() != nil {}
                return updates
            }
            return []
        }
    }

    @Test("Every kind is streamed, and the source ends with its task")
    func streams() async throws {
        let transport = ScriptedTransport { request, _ in
            guard request.path == Self.services else {
                return [.head(200), .body(Self.bookmark(request.path)), .hang]
            }
            return [
                .head(200), .body(Case.event("ADDED", Case.service("a", 3))), .body(Case.bookmark(9, ends: true)),
                .hang,
            ]
        }
        let clock = ManualClock()
        let updates = try await run(source(transport, clock), clock) { updates in
            ObjectKind.allCases.allSatisfy { updates.contains(.complete($0)) }
        }
        let changes = updates.flatMap { update -> [ObjectChange] in
            if case .changes(let changes, _) = update { changes } else { [] }
        }
        #expect(changes.count == 1)
        #expect(Set(transport.requests.map(\.path)).count == 4)
    }

    /// The end of a streaming list of no objects.
    private static func bookmark(_ path: String) -> String {
        let (kind, version) =
            switch path {
            case "/api/v1/nodes": ("Node", "v1")
            case "/apis/discovery.k8s.io/v1/endpointslices": ("EndpointSlice", "discovery.k8s.io/v1")
            default: ("ServiceCIDR", "networking.k8s.io/v1")
            }
        return
            #"{"type":"BOOKMARK","object":{"kind":"\#(kind)","apiVersion":"\#(version)","metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#
            + "\n"
    }

    @Test("A response that stalls is closed, told and asked for again")
    func stall() async throws {
        let transport = ScriptedTransport { request, count in
            guard request.path == Self.services else { return [.head(200), .hang] }
            return count == 0 ? [.head(200), .hang] : [.head(200), .body(Case.bookmark(9, ends: true)), .hang]
        }
        let clock = ManualClock()
        let updates = try await run(source(transport, clock), clock) { $0.contains(.complete(.service)) }
        let reason = "the list of /api/v1/services brought nothing for 60 seconds"
        #expect(updates.contains(.interrupted(.service, reason: reason)))
    }

    @Test("A response that has said what it had to say is closed, though the server leaves it open")
    func closed() async throws {
        let transport = ScriptedTransport { request, count in
            guard request.path == Self.services else { return [.head(200), .hang] }
            return count == 0
                ? [.head(200), .body(Case.error(410)), .hang]
                : [.head(200), .body(Case.bookmark(9, ends: true)), .hang]
        }
        let clock = ManualClock()
        let updates = try await run(source(transport, clock), clock, standsStill: true) { !$0.isEmpty }
        #expect(updates == [.complete(.service)])
    }

    @Test("A connection that fails is made again, after a while")
    func failure() async throws {
        let transport = ScriptedTransport { request, count in
            guard request.path == Self.services else { return [.head(200), .hang] }
            return count < 3 ? [.fail("connection refused")] : [.head(200), .body(Case.bookmark(9, ends: true)), .hang]
        }
        let clock = ManualClock()
        let updates = try await run(source(transport, clock), clock) { $0.contains(.complete(.service)) }
        let reason = "the list of /api/v1/services failed: connection refused"
        #expect(updates.count { $0 == .interrupted(.service, reason: reason) } == 1)
    }

    @Test("A snapshot lists each kind once, in pages, and takes what is missing for nothing")
    func snapshot() async throws {
        let transport = ScriptedTransport { request, count in
            switch request.path {
            case Self.services:
                let isFirst = count == 0
                let list = Case.list(
                    [Case.service(isFirst ? "a" : "b", 3), Case.service("c", 4, spec: #""type":"Other""#)], version: 10,
                    token: isFirst ? "next" : "")
                return [.head(200), .body(list)]
            case let path where path.hasSuffix("servicecidrs"): return [.head(404), .body("404 page not found")]
            default: return [.head(200), .body(Self.empty)]
            }
        }
        let manifests = try await source(transport).snapshot()
        #expect(manifests.services.map(\.name.name) == ["a", "b"])
        #expect(manifests.diagnostics.count == 1)
        #expect(transport.requests.count == 5)
        #expect(transport.requests.allSatisfy { request in request.query.contains { $0.name == "limit" } })
    }

    @Test("A snapshot renews credentials once, and fails with one sentence at the first error")
    func failedSnapshot() async throws {
        let transport = ScriptedTransport { request, _ in
            request.path == Self.services ? [.head(401)] : [.head(200), .body(Self.empty)]
        }
        let error = await #expect(throws: APITransportError.self) { try await source(transport).snapshot() }
        #expect(error?.description == "the list of /api/v1/services was answered with 401")
        #expect(transport.renewals == 2)
        #expect(transport.requests.count { $0.path == Self.services } == 2)
    }
}
