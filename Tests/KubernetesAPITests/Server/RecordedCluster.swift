import Foundation
import TestAPIServer
import TestSupport
import Testing

extension RecordedResponse {
    var accept: String {
        contentType.contains("protobuf")
            ? "application/vnd.kubernetes.protobuf" : "application/json"
    }

    /// The values of a body that has one in each line.
    func values() throws -> [JSONValue] {
        try String(decoding: body, as: UTF8.self).split(separator: "\n").map { try JSONValue(parsing: String($0)) }
    }

    /// The frames of a watch in protobuf, their lengths included.
    static func frames(_ bytes: [UInt8]) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        var rest = bytes[...]
        while rest.count >= 4 {
            let count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard rest.count >= 4 + count else { break }
            frames.append(Array(rest.prefix(4 + count)))
            rest = rest.dropFirst(4 + count)
        }
        return frames
    }
}

/// A server to which the same happens as to the recorded one, at the same versions.
struct RecordedCluster {
    let server: TestAPIServer
    private var steps: [(version: Int, apply: @Sendable (TestAPIServer) throws -> Void)] = []

    /// The objects of all lists, and the changes of the watches that saw everything. Nothing has happened yet.
    init(_ change: (inout TestAPIServerOptions) -> Void = { _ in }) async throws {
        var options = TestAPIServerOptions()
        options.isTLS = false
        options.firstVersion = 0
        change(&options)
        server = try await TestAPIServer.start(options)
        for (name, kind) in [
            ("services-list", "Service"), ("endpointslices-list", "EndpointSlice"), ("node-list", "Node"),
            ("servicecidrs-list", "ServiceCIDR"),
        ] {
            let list = try JSONValue(parsing: #require(RecordedResponse("\(name).json")).body)
            for var object in list["items"].elements {
                object["kind"] = .string(kind)
                try add(object) { [object] in try $0.set(object) }
            }
        }
        for name in ["watch-short-timeout.json", "endpointslices-watch-initial.json"] {
            for event in try #require(RecordedResponse(name)).values() {
                let object = event["object"]
                switch event["type"].string {
                case "MODIFIED", "ADDED":
                    if name.hasPrefix("endpointslices"), event["type"].string == "ADDED" { continue }
                    try add(object) { try $0.set(object) }
                case "DELETED":
                    try add(object) { server in
                        try #require(
                            server.delete(
                                kind: object["kind"].string ?? "", namespace: object["metadata"]["namespace"].string,
                                name: object["metadata"]["name"].string ?? "") != nil)
                    }
                default: continue
                }
            }
        }
        steps.sort { $0.version < $1.version }
    }

    private mutating func add(
        _ object: JSONValue, _ apply: @escaping @Sendable (TestAPIServer) throws -> Void
    ) throws {
        let version = try #require(object["metadata"]["resourceVersion"].string.flatMap { Int($0) })
        steps.append((version, apply))
    }

    /// Lets everything happen up to a version.
    mutating func advance(to version: Int) throws {
        while let step = steps.first, step.version <= version {
            server.skipVersions(step.version - 1 - server.version)
            try step.apply(server)
            #expect(server.version == step.version)
            steps.removeFirst()
        }
        server.skipVersions(version - server.version)
    }
}
