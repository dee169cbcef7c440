import Foundation
import TestAPIServer
import TestSupport
import Testing

@Suite("Faults of the API server for tests")
struct FaultTests {
    private static let services = "/api/v1/services"

    private func start(_ change: (inout TestAPIServerOptions) -> Void = { _ in }) async throws -> TestAPIServer {
        var options = TestAPIServerOptions()
        options.isTLS = false
        change(&options)
        let server = try await TestAPIServer.start(options)
        try server.set([
            "kind": "Service", "metadata": ["name": "customer", "namespace": "bank"],
            "spec": ["clusterIP": "10.0.0.1"],
        ])
        return server
    }

    @Test("a status meets so many requests of its kind, with its header and in the form that is asked for")
    func status() async throws {
        let server = try await start()
        let client = PlainClient(port: server.port)
        server.fail(Fault(.status(code: 429, retryAfter: 7), resource: "services", operation: .list, count: 2))
        #expect(await client.get("/api/v1/nodes").status == 200)
        let first = await client.get(Self.services)
        #expect(first.status == 429)
        #expect(first.headers["retry-after"] == "7")
        #expect(try JSONValue(parsing: first.body)["details"]["retryAfterSeconds"] == 7)
        let second = await client.get(Self.services, accept: "application/vnd.kubernetes.protobuf")
        #expect(second.headers["content-type"] == "application/vnd.kubernetes.protobuf")
        #expect(second.body.starts(with: [0x6b, 0x38, 0x73, 0]))
        #expect(await client.get(Self.services).status == 200)
        #expect(server.requests.map(\.status) == [200, 429, 429, 200])
        await server.stop()
    }

    @Test("a fault lasts until it is cleared, and its body can be given")
    func untilCleared() async throws {
        let server = try await start()
        let client = PlainClient(port: server.port)
        server.fail(Fault(.status(code: 503, body: "etcd is away")))
        for _ in 0..<3 { #expect(await client.get(Self.services).text == "etcd is away") }
        server.clearFaults()
        #expect(await client.get(Self.services).status == 200)
        await server.stop()
    }

    @Test("a stalled request gets nothing, a stalled body stops where it should")
    func stalls() async throws {
        let server = try await start()
        let client = PlainClient(port: server.port)
        server.fail(Fault(.stall, count: 1))
        let nothing = await client.get(Self.services, patience: 0.2)
        #expect(nothing.ending == .quiet)
        #expect(nothing.raw.isEmpty)
        // On a busy machine the request may be read only now, and the next one before it.
        while server.requests.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        server.fail(Fault(.stallBody(afterBytes: 30), count: 1))
        let part = await client.get(Self.services, settle: 0.2) { $0.body.count >= 30 }
        #expect(part.ending == .quiet)
        #expect(part.body.count == 30)
        await server.stop()
    }

    @Test("a reset is a reset, after so many bytes")
    func reset() async throws {
        let server = try await start()
        server.fail(Fault(.reset(afterBytes: 25), count: 1))
        let response = await PlainClient(port: server.port).get(Self.services)
        #expect(response.ending == .reset)
        #expect(response.body.count == 25)
        await server.stop()
    }

    @Test("garbage is no HTTP")
    func garbage() async throws {
        let server = try await start()
        server.fail(Fault(.garbage(bytes: 500), count: 1))
        let response = await PlainClient(port: server.port).get(Self.services)
        #expect(response.ending == .closed)
        #expect(response.raw.count == 500)
        #expect(response.statusLine.isEmpty)
        await server.stop()
    }

    @Test(
        "a body in pieces or at a rate arrives in small chunks, and whole",
        arguments: [Fault.Action.pieces(bytes: 50, pauseMilliseconds: 2), .rate(bytesPerSecond: 1000)])
    func pieces(_ action: Fault.Action) async throws {
        let server = try await start()
        let client = PlainClient(port: server.port)
        func get() async -> PlainClient.Response {
            await client.get("\(Self.services)?watch=true") { $0.body.last == UInt8(ascii: "\n") }
        }
        func chunksOfFifty(_ response: PlainClient.Response) -> Int {
            String(decoding: response.raw, as: UTF8.self).components(separatedBy: "\r\n32\r\n").count - 1
        }
        let whole = await get()
        server.fail(Fault(action, count: 1))
        let cut = await get()
        #expect(cut.body == whole.body)
        #expect(chunksOfFifty(whole) == 0)
        #expect(chunksOfFifty(cut) == whole.body.count / 50)
        await server.stop()
    }

    @Test("an expired stream has an ERROR event of 410 and ends, at the start or in the middle")
    func expired() async throws {
        let server = try await start()
        let client = PlainClient(port: server.port)
        let target = "\(Self.services)?watch=true&resourceVersion=\(server.version)"
        server.fail(Fault(.event(.expired), resource: "services", operation: .watch, count: 1))
        async let middle = client.get("/api/v1/nodes?watch=true&resourceVersion=\(server.version)")
        let first = await client.get(target)
        while server.watchCount(.nodes) == 0 { try await Task.sleep(for: .milliseconds(5)) }
        server.inject(.expired)
        for response in [first, await middle] {
            #expect(response.ending == .complete)
            let event = try JSONValue(parsing: response.body)
            #expect(event["type"] == "ERROR")
            #expect(event["object"]["code"] == 410)
        }
        await server.stop()
    }

    @Test("a malformed event is neither JSON nor a message, and the stream goes on")
    func malformed() async throws {
        let server = try await start()
        let client = PlainClient(port: server.port)
        server.fail(Fault(.event(.malformed), count: 2))
        let json = await client.get("\(Self.services)?watch=true") { $0.lines.count == 2 }
        try #require(json.lines.count == 2)
        #expect(throws: (any Error).self) { try JSONValue(parsing: json.lines[0]) }
        #expect(try JSONValue(parsing: json.lines[1])["type"] == "ADDED")
        let protobuf = await client.get(
            "\(Self.services)?watch=true", accept: "application/vnd.kubernetes.protobuf"
        ) { RecordedResponse.frames($0.body).count == 2 }
        #expect(RecordedResponse.frames(protobuf.body).first?.dropFirst(4).allSatisfy { $0 == 0xff } == true)
        await server.stop()
    }

    @Test("an event can have many megabytes")
    func large() async throws {
        let server = try await start()
        server.fail(Fault(.event(.large(bytes: 5_000_000)), count: 1))
        let response = await PlainClient(port: server.port).get("\(Self.services)?watch=true&timeoutSeconds=1") {
            $0.raw.count > 5_000_000 && $0.raw.last == UInt8(ascii: "\n")
        }
        #expect(response.body.count > 5_000_000)
        await server.stop()
    }

    @Test("connections are refused until they are accepted again, at the same port")
    func refused() async throws {
        let server = try await start()
        let client = PlainClient(port: server.port)
        await server.refuseConnections()
        #expect(await client.get(Self.services).ending == .refused)
        try await server.acceptConnections()
        #expect(await client.get(Self.services).status == 200)
        await server.stop()
    }

    @Test("an old server refuses a streaming list with its status", arguments: [422, 400])
    func oldServer(_ code: Int) async throws {
        let server = try await start { $0.initialEvents = .refused(code: code) }
        let response = await PlainClient(port: server.port).get(
            "\(Self.services)?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
        #expect(response.status == code)
        #expect(response.text.contains("unless the WatchList feature gate is enabled"))
        await server.stop()
    }
}
