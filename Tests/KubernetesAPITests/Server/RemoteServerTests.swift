import Foundation
import TestAPIServer
import TestSupport
import Testing

@Suite("The API server for tests as a program")
struct RemoteServerTests {
    @Test("commands change what it answers, and its records come back")
    func commands() async throws {
        var options = TestAPIServerOptions()
        options.isTLS = false
        let server = try await RemoteAPIServer.start(
            program: BuiltProducts.testAPIServer, commandPrefix: ["env", "--"], options: options)
        let client = PlainClient(port: server.port)
        let version = try await server.set(["kind": "Node", "metadata": ["name": "node1"]])
        let list = try JSONValue(parsing: await client.get("/api/v1/nodes").body)
        #expect(list["metadata"]["resourceVersion"].string == String(version))
        #expect(list["items"].elements.first?["metadata"]["name"] == "node1")
        #expect(try await server.delete(kind: "Node", namespace: nil, name: "node1") == version + 1)
        try await server.load(file: "\(RecordedResponse.folder)/services-list.json")
        try await server.fail(Fault(.status(code: 500), count: 1))
        #expect(await client.get("/api/v1/services").status == 500)
        #expect(try JSONValue(parsing: await client.get("/api/v1/services").body)["items"].elements.count == 4)
        #expect(try await server.requests().map(\.status) == [200, 500, 200])
        await #expect(throws: TestAPIServerError.self) { try await server.set(json: "{") }
        #expect(FileManager.default.fileExists(atPath: server.kubeconfigPath))
        try await server.stop()
        #expect(!FileManager.default.fileExists(atPath: server.kubeconfigPath))
        #expect(await client.get("/api/v1/nodes").ending == .refused)
    }
}
