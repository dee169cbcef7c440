import Foundation
import TestAPIServer
import TestSupport
import Testing

@Suite("The API server for tests answers as the recorded one")
struct RecordedAnswerTests {
    private func expectSameHead(_ response: PlainClient.Response, _ recording: RecordedResponse) {
        #expect(response.statusLine == recording.statusLine)
        for name in ["cache-control", "content-type", "content-length", "transfer-encoding"] {
            #expect(response.headers[name] == recording.headers[name], "\(name) of \(recording.name)")
        }
    }

    @Test(
        "lists have the same head and the same body, protobuf to the byte",
        arguments: [
            ("services-list.json", 214), ("services-list.pb", 214), ("endpointslices-list.json", 217),
            ("endpointslices-list.pb", 217), ("node-list.json", 207), ("node-list.pb", 207),
            ("servicecidrs-list.json", 217), ("servicecidrs-list.pb", 217), ("endpointslices-list-page1.json", 217),
            ("endpointslices-list-page2.json", 217),
        ])
    func list(_ name: String, _ version: Int) async throws {
        let recording = try #require(RecordedResponse(name))
        var cluster = try await RecordedCluster()
        try cluster.advance(to: version)
        let response = await PlainClient(port: cluster.server.port).get(recording.target, accept: recording.accept)
        #expect(response.ending == .complete)
        expectSameHead(response, recording)
        if name.hasSuffix(".pb") {
            #expect(response.body == recording.body)
        } else {
            #expect(try JSONValue(parsing: response.body) == JSONValue(parsing: recording.body))
        }
        await cluster.server.stop()
    }

    @Test("a watch sees the same changes, and an object that leaves the selection is deleted")
    func servicesWatch() async throws {
        let recording = try #require(RecordedResponse("services-watch.json"))
        var cluster = try await RecordedCluster { $0.bookmarkMilliseconds = 20 }
        try cluster.advance(to: 223)
        let expected = try recording.values()
        let response = await PlainClient(port: cluster.server.port).get(recording.target) {
            $0.lines.count >= expected.count && $0.text.hasSuffix("\n")
        }
        expectSameHead(response, recording)
        #expect(try response.lines.prefix(expected.count).map { try JSONValue(parsing: $0) } == expected)
        await cluster.server.stop()
    }

    @Test("a watch in protobuf has the same frames to the byte, bookmarks apart")
    func servicesWatchProtobuf() async throws {
        let recording = try #require(RecordedResponse("services-watch.pb"))
        var cluster = try await RecordedCluster()
        try cluster.advance(to: 265)
        func changes(_ bytes: [UInt8]) -> [[UInt8]] {
            RecordedResponse.frames(bytes).filter { Data($0).range(of: Data("BOOKMARK".utf8)) == nil }
        }
        let expected = changes(recording.body)
        try #require(expected.count > 4)
        let response = await PlainClient(port: cluster.server.port).get(recording.target, accept: recording.accept) {
            RecordedResponse.frames($0.body).count >= expected.count
        }
        expectSameHead(response, recording)
        #expect(changes(response.body) == expected)
        await cluster.server.stop()
    }

    @Test("a watch without a selector ends in good order after its time")
    func shortTimeout() async throws {
        let recording = try #require(RecordedResponse("watch-short-timeout.json"))
        var cluster = try await RecordedCluster()
        try cluster.advance(to: 265)
        let target = recording.target.replacing("timeoutSeconds=2", with: "timeoutSeconds=1")
        let response = await PlainClient(port: cluster.server.port).get(target)
        #expect(response.ending == .complete)
        expectSameHead(response, recording)
        #expect(try response.lines.map { try JSONValue(parsing: $0) } == recording.values())
        await cluster.server.stop()
    }

    @Test("a streaming list gives every object, the bookmark that ends them, then changes")
    func initialEvents() async throws {
        let recording = try #require(RecordedResponse("endpointslices-watch-initial.json"))
        var cluster = try await RecordedCluster { $0.bookmarkMilliseconds = 20 }
        try cluster.advance(to: 240)
        let expected = try recording.values()
        let port = cluster.server.port
        async let answer = PlainClient(port: port).get(recording.target) { response in
            response.lines.last?.contains(#""254""#) == true && response.text.hasSuffix("\n")
        }
        while cluster.server.watchCount(.endpointslices) == 0 { try await Task.sleep(for: .milliseconds(5)) }
        try cluster.advance(to: 254)
        let response = await answer
        expectSameHead(response, recording)
        // A bookmark may come between the changes too, which the recorded server had no time for.
        let events = try response.lines.map { try JSONValue(parsing: $0) }.filter { event in
            let metadata = event["object"]["metadata"]
            return event["type"] != "BOOKMARK" || metadata["resourceVersion"] == "254"
                || metadata["annotations"] != .null
        }
        #expect(Array(events.prefix(expected.count)) == expected)
        await cluster.server.stop()
    }

    @Test("a streaming list in protobuf has the same frames to the byte, its bookmark too")
    func initialEventsProtobuf() async throws {
        let recording = try #require(RecordedResponse("endpointslices-watch-initial.pb"))
        var cluster = try await RecordedCluster()
        try cluster.advance(to: 259)
        let response = await PlainClient(port: cluster.server.port).get(recording.target, accept: recording.accept) {
            $0.body.count >= recording.body.count
        }
        expectSameHead(response, recording)
        #expect(response.body == recording.body)
        await cluster.server.stop()
    }

    @Test("a version beyond the horizon is refused both ways")
    func expired() async throws {
        var cluster = try await RecordedCluster()
        try cluster.advance(to: 262)
        cluster.server.compact()
        let client = PlainClient(port: cluster.server.port)
        for name in ["watch-expired.json", "list-expired.json"] {
            let recording = try #require(RecordedResponse(name))
            let response = await client.get(recording.target)
            #expect(response.ending == .complete)
            expectSameHead(response, recording)
            #expect(try JSONValue(parsing: response.body) == recording.values().first)
        }
        await cluster.server.stop()
    }

    @Test(
        "refusals have the same head and body",
        arguments: [
            ("error-401.json", "wrong"), ("error-403.json", "viewer-token"), ("error-403-anonymous.json", nil),
            ("error-404.json", "good"),
        ])
    func refusals(_ name: String, _ token: String?) async throws {
        let recording = try #require(RecordedResponse(name))
        let cluster = try await RecordedCluster {
            $0.credentials = Credentials(
                tokens: ["good": "proxy", "viewer-token": "viewer"], usersWithoutRights: ["viewer"])
        }
        let response = await PlainClient(port: cluster.server.port).get(recording.target, token: token)
        #expect(response.ending == .complete)
        expectSameHead(response, recording)
        #expect(try JSONValue(parsing: response.body) == JSONValue(parsing: recording.body))
        await cluster.server.stop()
    }

    @Test("the version has the same fields")
    func version() async throws {
        let recording = try #require(RecordedResponse("version.json"))
        let cluster = try await RecordedCluster()
        let response = await PlainClient(port: cluster.server.port).get(recording.target)
        let (ours, theirs) = (try JSONValue(parsing: response.body), try JSONValue(parsing: recording.body))
        #expect(ours.fields.keys.sorted() == theirs.fields.keys.sorted())
        #expect(ours["minor"] == theirs["minor"])
        #expect(response.headers["content-type"] == recording.headers["content-type"])
        await cluster.server.stop()
    }
}
