import Foundation
import TestAPIServer
import TestSupport
import Testing

@Suite("TLS, credentials and pages of the API server for tests")
struct ConnectionTests {
    /// What `openssl s_client`, which checks the certificate, gets for a path.
    private func get(_ path: String, _ server: TestAPIServer, _ more: [String] = []) throws -> Command.Result {
        try Command.run(
            [
                "openssl", "s_client", "-connect", "127.0.0.1:\(server.port)", "-CAfile", server.authorityPath,
                "-verify_return_error", "-verify_ip", "127.0.0.1", "-quiet", "-ign_eof",
            ] + more, input: "GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    }

    @Test("its certificate is good for its address, and its client certificate is a user")
    func tls() async throws {
        var options = TestAPIServerOptions()
        options.credentials = Credentials(acceptsClientCertificate: true, allowsAnonymous: false)
        let server = try await TestAPIServer.start(options)
        #expect(try get("/api/v1/nodes", server).output.hasPrefix("HTTP/1.1 401"))
        let known = try get(
            "/api/v1/nodes", server, ["-cert", server.clientCertificatePath, "-key", server.clientKeyPath])
        #expect(known.output.hasPrefix("HTTP/1.1 200"))
        #expect(server.requests.map(\.user) == [nil, "proxy"])
        let kubeconfig = try JSONValue(parsing: Data(contentsOf: URL(filePath: server.kubeconfigPath)))
        #expect(kubeconfig["clusters"].elements.first?["cluster"]["server"].string == server.url)
        await server.stop()
    }

    @Test("tokens can be changed while it runs")
    func tokens() async throws {
        var options = TestAPIServerOptions()
        options.isTLS = false
        options.credentials = Credentials(tokens: ["old": "proxy"])
        let server = try await TestAPIServer.start(options)
        let client = PlainClient(port: server.port)
        #expect(await client.get("/api/v1/nodes", token: "old").status == 200)
        server.setCredentials(Credentials(tokens: ["new": "proxy"]))
        #expect(await client.get("/api/v1/nodes", token: "old").status == 401)
        #expect(await client.get("/api/v1/nodes", token: "new").status == 200)
        await server.stop()
    }

    @Test("pages show one version until their token has expired; version 0 knows no pages")
    func pages() async throws {
        var options = TestAPIServerOptions()
        options.isTLS = false
        let server = try await TestAPIServer.start(options)
        for name in ["a", "b", "c"] { try server.set(["kind": "Node", "metadata": ["name": .string(name)]]) }
        let client = PlainClient(port: server.port)
        let first = try JSONValue(parsing: await client.get("/api/v1/nodes?limit=2").body)
        let token = try #require(first["metadata"]["continue"].string)
        #expect(first["metadata"]["remainingItemCount"] == 1)
        server.delete(kind: "Node", namespace: nil, name: "c")
        let next = "/api/v1/nodes?limit=2&continue=\(token)"
        let second = try JSONValue(parsing: await client.get(next).body)
        #expect(second["items"].elements.map { $0["metadata"]["name"] } == ["c"])
        #expect(second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"])
        try server.set(["kind": "Node", "metadata": ["name": "d"]])
        server.compact()
        #expect(await client.get(next).status == 410)
        let cached = try JSONValue(parsing: await client.get("/api/v1/nodes?limit=2&resourceVersion=0").body)
        #expect(cached["items"].elements.count == 3)
        await server.stop()
    }

    @Test("a window keeps the newest changes: a watch from before them is told so")
    func window() async throws {
        var options = TestAPIServerOptions()
        options.isTLS = false
        options.window = 2
        let server = try await TestAPIServer.start(options)
        for name in ["a", "b", "c", "d", "e", "f"] {
            try server.set(["kind": "Node", "metadata": ["name": .string(name)]])
        }
        let client = PlainClient(port: server.port)
        let kept = await client.get("/api/v1/nodes?watch=true&resourceVersion=\(server.version - 2)") {
            $0.lines.count == 2
        }
        #expect(try kept.lines.map { try JSONValue(parsing: $0)["object"]["metadata"]["name"] } == ["e", "f"])
        let gone = await client.get("/api/v1/nodes?watch=true&resourceVersion=\(server.version - 3)")
        #expect(try JSONValue(parsing: gone.body)["object"]["code"] == 410)
        await server.stop()
    }

    @Test("thousands of objects come in a list, in a streaming list, and as changes to several watches")
    func many() async throws {
        var options = TestAPIServerOptions()
        options.isTLS = false
        let server = try await TestAPIServer.start(options)
        let count = 1000
        for number in 0..<count {
            try server.set(["kind": "Service", "metadata": ["name": .string("s\(number)"), "namespace": "x"]])
        }
        let client = PlainClient(port: server.port)
        let target = "/api/v1/services?watch=true&resourceVersion=\(server.version)"
        let isLast = { @Sendable (response: PlainClient.Response) in
            Data(response.raw.suffix(1000)).range(of: Data("\"s\(count - 1)\"".utf8)) != nil
                && response.body.last == UInt8(ascii: "\n")
        }
        async let one = client.get(target) { isLast($0) }
        async let two = client.get(target) { isLast($0) }
        while server.watchCount() < 2 { try await Task.sleep(for: .milliseconds(5)) }
        for number in 0..<count { server.delete(kind: "Service", namespace: "x", name: "s\(number)") }
        for response in [await one, await two] {
            let last = try JSONValue(parsing: try #require(response.lines.last))
            #expect(response.lines.count == count)
            #expect(last["type"] == "DELETED")
            #expect(last["object"]["metadata"]["name"].string == "s\(count - 1)")
        }
        await server.stop()
    }
}
