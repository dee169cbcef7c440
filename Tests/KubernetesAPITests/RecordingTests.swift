import EndpointWatcher
import KubernetesAPI
import ProxyCore
import TestSupport
import Testing

@Suite("Recordings of a real API server")
struct RecordingTests {
    private static let lists: [(name: String, kind: ObjectKind, count: Int, version: String)] = [
        ("services-list", .service, 4, "214"), ("endpointslices-list", .endpointSlice, 3, "217"),
        ("node-list", .node, 1, "207"), ("servicecidrs-list", .serviceCIDR, 1, "217"),
    ]

    /// The request that comes next, as its path and query.
    private func nextRequest(_ replay: Replay) throws -> APIRequest {
        guard case .request(let request) = replay.step else {
            Issue.record("No request: \(String(describing: replay.step))")
            throw UndecodableMessage()
        }
        return request
    }

    @Test("A list decodes to the same objects in both encodings", arguments: lists.indices)
    func list(index: Int) throws {
        let (name, kind, count, version) = Self.lists[index]
        var json = try Replay(kind, streams: false)
        try json.play("\(name).json")
        var protobuf = try Replay(kind, streams: false)
        try protobuf.play("\(name).pb")

        #expect(json.changes.count == count)
        #expect(json.updates == protobuf.updates)
        #expect(json.updates.last == .complete(kind))
        #expect(json.diagnostics.isEmpty && protobuf.diagnostics.isEmpty)
        let request = try nextRequest(json)
        #expect(try nextRequest(protobuf) == request)
        #expect(request.query.last?.value == version)
    }

    @Test("The objects of a list are those that the API has")
    func objects() throws {
        var replay = try Replay(.endpointSlice, streams: false)
        try replay.play("endpointslices-list.pb")
        let slices = replay.changes.compactMap { if case .endpointSlice(let slice) = $0 { slice } else { nil } }
        #expect(slices.map(\.name.description) == ["yaobank/customer-x", "yaobank/database-x", "yaobank/summary-x"])
        #expect(slices.map(\.service.name) == ["customer", "database", "summary"])
        #expect(slices[2].endpoints.map(\.address) == [IPAddress("198.19.21.1"), IPAddress("198.19.22.131")])
        #expect(slices[2].endpoints.map(\.nodeName) == ["control", "node1"])
        #expect(slices[1].ports == [EndpointSlice.Port(name: "http", protocol: .tcp, number: 2379)])
    }

    @Test("Pages are followed to the last, with the server's own token")
    func pages() throws {
        var replay = try Replay(.endpointSlice, streams: false)
        try replay.play("endpointslices-list-page1.json")
        #expect(replay.changes.count == 2)
        #expect(!replay.updates.contains(.complete(.endpointSlice)))
        let recorded = try #require(RecordedResponse("endpointslices-list-page2.json"))
        let token = try nextRequest(replay).query.first { $0.name == "continue" }
        #expect(token?.value == recorded.query.first { $0.name == "continue" }?.value)
        try replay.play("endpointslices-list-page2.json")
        #expect(replay.changes.count == 3)
        #expect(replay.updates.last == .complete(.endpointSlice))
        #expect(try nextRequest(replay).query.contains { $0 == ("resourceVersion", "217") })
    }

    @Test("A watch of Services decodes to the recorded events", arguments: ["json", "pb"])
    func serviceWatch(encoding: String) throws {
        var replay = try Replay(.service, streams: false)
        try replay.play("services-list.\(encoding)")
        replay.forgetUpdates()
        try replay.play("services-watch.\(encoding)")

        let extra = try #require(ObjectName(namespace: "yaobank", name: "extra"))
        let names: [String] = replay.changes.map {
            switch $0 {
            case .service(let service): service.name.name
            case .serviceDeleted(let name): "-\(name.name)"
            default: "?"
            }
        }
        #expect(names == Self.serviceEvents[encoding])
        #expect(replay.changes.last == .serviceDeleted(extra))
        #expect(replay.diagnostics.isEmpty)
        // The server's end of a watch: on from the last version, a bookmark's where there is one.
        let version = encoding == "json" ? "223" : "264"
        #expect(try nextRequest(replay).query.last?.value == version)
    }

    private static let serviceEvents = [
        "json": ["summary", "customer", "extra", "-extra"],
        "pb": ["summary", "customer", "extra", "-extra", "extra", "-extra"],
    ]

    @Test("A streaming list is complete at its bookmark, and followed from there", arguments: ["json", "pb"])
    func streamingList(encoding: String) throws {
        var replay = try Replay(.endpointSlice, streams: true)
        try replay.play("endpointslices-watch-initial.\(encoding)")
        let end = try #require(replay.updates.firstIndex(of: .complete(.endpointSlice)))
        let customer = try #require(ObjectName(namespace: "yaobank", name: "customer-x"))
        if encoding == "json" {
            #expect(end == 3)
            #expect(replay.changes.count == 5)
            guard case .endpointSlice(let slice) = replay.changes[3] else {
                Issue.record("no change after the list")
                return
            }
            #expect(
                slice.endpoints.map(\.conditions) == [
                    [.serving, .terminating], [.ready, .serving], [.ready, .serving],
                ])
            #expect(replay.changes[4] == .endpointSliceDeleted(customer))
            #expect(try nextRequest(replay).query.last?.value == "254")
        } else {
            #expect(end == 2)
            #expect(replay.updates.count == 3)
            #expect(try nextRequest(replay).query.last?.value == "259")
        }
    }

    @Test("An expired version leads to a list, whether the watch or its first event says so")
    func expired() throws {
        for name in ["watch-expired.json", "list-expired.json"] {
            var replay = try Replay(.endpointSlice, streams: true)
            try replay.play("endpointslices-watch-initial.json")
            #expect(try nextRequest(replay).query.last?.value == "254")
            replay.forgetUpdates()
            try replay.play(name)
            #expect(replay.updates.isEmpty)
            #expect(try nextRequest(replay).query.contains { $0 == ("sendInitialEvents", "true") })
        }
    }

    @Test("A refusal is told with what was asked, its status and the server's words")
    func refusals() throws {
        for (name, words) in [
            ("error-403.json", "403: services is forbidden: User \"viewer\" cannot list"),
            ("error-403-anonymous.json", "403: services is forbidden: User \"system:anonymous\" cannot"),
            ("error-404.json", "404: the server could not find the requested resource"),
        ] {
            var replay = try Replay(.service, streams: true)
            try replay.play(name)
            guard case .interrupted(.service, let reason) = replay.updates.first else {
                Issue.record("\(name) is no interruption")
                continue
            }
            #expect(reason.hasPrefix("the list of /api/v1/services was answered with \(words)"))
        }
    }

    @Test("Requests are those of the recordings, in their order, but for page size and duration")
    func requests() throws {
        for (name, kind, _, _) in Self.lists {
            try expect(try nextRequest(Replay(kind, streams: false)), "\(name).json")
            try expect(try nextRequest(Replay(kind, streams: false)), "\(name).pb")
        }
        try expect(try nextRequest(Replay(.endpointSlice, streams: true)), "endpointslices-watch-initial.json")
        var replay = try Replay(.service, streams: false)
        try replay.play("services-list.json")
        try expect(try nextRequest(replay), "services-watch.json")
        #expect(try nextRequest(replay).accept == "application/vnd.kubernetes.protobuf, application/json")
    }

    private func expect(_ request: APIRequest, _ name: String) throws {
        let recording = try #require(RecordedResponse(name))
        #expect(request.path == recording.path)
        var expected = recording.query.map { "\($0.name)=\($0.name == "timeoutSeconds" ? "" : $0.value)" }
        var found = request.query.map { "\($0.name)=\($0.name == "timeoutSeconds" ? "" : $0.value)" }
        found.removeAll { $0.hasPrefix("limit=") }
        // ServiceCIDRs were recorded without a version.
        if name.hasPrefix("servicecidrs") { expected.append("resourceVersion=0") }
        #expect(found == expected)
    }
}
