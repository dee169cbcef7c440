import EndpointWatcher
import Foundation
import NIOCore
import Synchronization
import Testing

@testable import KubernetesAPI

@Suite("Requests and responses")
struct StreamTests {
    private struct Stop: Error, Equatable {}

    @Test("carry the path, the query and the headers, after the server's own path")
    func request() async throws {
        try await ScriptedServer.answering({ $0 }) { server in
            var settings = ConnectionSettings.test(server, usesTLS: false)
            settings.server.pathPrefix = "/k8s/clusters/c-1"
            let request = APIRequest(
                path: "/api/v1/services",
                query: [("labelSelector", "!a/b,c=d e"), ("continue", "x+y=&z%"), ("watch", "1")],
                accept: "application/json;as=x, */*")
            var text = ""
            try await withTransport(settings) { transport in
                try await transport.get(request) {
                    if case .body(let bytes) = $0 { text += String(decoding: bytes, as: UTF8.self) }
                }
            }
            let target =
                "/k8s/clusters/c-1/api/v1/services?labelSelector=%21a%2Fb%2Cc%3Dd%20e&continue=x%2By%3D%26z%25&watch=1"
            #expect(text.hasPrefix("GET \(target) HTTP/1.1\r\n"))
            #expect(text.header("Accept") == "application/json;as=x, */*")
            #expect(text.header("User-Agent") == "switchyard")
            #expect(text.header("Host") == "127.0.0.1:\(server.port)")
            #expect(text.header("Authorization") == nil)
            #expect(text.header("Accept-Encoding") == nil)
        }
    }

    @Test("give the status, the media type and when to come back", arguments: [("7", 7), ("-1", nil), ("Wed", nil)])
    func head(retryAfter: String, expected: Int?) async throws {
        try await ScriptedServer.run { peer in
            while await peer.request() != nil {
                try await peer.respond(
                    "later", status: "503 Service Unavailable",
                    headers: "Content-Type: Application/JSON; charset=UTF-8\r\nRetry-After: \(retryAfter)\r\n")
            }
        } body: { server in
            let answer = try await withTransport(.test(server, usesTLS: false)) { try await $0.answer() }
            let head = APIResponseHead(
                status: 503, contentType: "application/json; charset=utf-8", retryAfter: expected)
            #expect(answer == Answer(head: head, body: "later"))
        }
    }

    @Test("are not redirected")
    func redirect() async throws {
        try await ScriptedServer.run { peer in
            while await peer.request() != nil {
                try await peer.respond(status: "302 Found", headers: "Location: http://127.0.0.1:1/\r\n")
            }
        } body: { server in
            let answer = try await withTransport(.test(server, usesTLS: false)) { try await $0.answer() }
            #expect(answer.head?.status == 302)
        }
    }

    @Test("come piece by piece, each before the next is sent, on a connection that is used again")
    func pieces() async throws {
        let (received, confirm) = AsyncStream.makeStream(of: String.self)
        try await ScriptedServer.run { peer in
            var pieces = received.makeAsyncIterator()
            while await peer.request() != nil {
                try await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for piece in ["one", "two"] {
                    try await peer.send("3\r\n\(piece)\r\n")
                    #expect(await pieces.next() == piece)
                }
                try await peer.send("0\r\n\r\n")
            }
        } body: { server in
            try await withTransport(.test(server, usesTLS: false)) { transport in
                for _ in 0..<2 {
                    try await transport.get(APIRequest(path: "/", accept: "*/*")) {
                        if case .body(let bytes) = $0 { confirm.yield(String(decoding: bytes, as: UTF8.self)) }
                    }
                }
            }
            #expect(server.connectionCount == 1)
        }
    }

    @Test("do not run ahead of a reader that is slow")
    func backPressure() async throws {
        let sent = Atomic<Int>(0)
        let total = 256 << 20
        try await ScriptedServer.run { peer in
            _ = await peer.request()
            try await peer.send("HTTP/1.1 200 OK\r\nContent-Length: \(total)\r\n\r\n")
            let piece = String(repeating: "x", count: 1 << 20)
            while sent.load(ordering: .relaxed) < total {
                try await peer.send(piece)
                sent.add(piece.utf8.count, ordering: .relaxed)
            }
        } body: { server in
            try await withTransport(.test(server, usesTLS: false)) { transport in
                await #expect(throws: Stop()) {
                    try await transport.get(APIRequest(path: "/", accept: "*/*")) { part in
                        guard case .body = part else { return }
                        // Until the server stands still.
                        var last = -1
                        while case let now = sent.load(ordering: .relaxed), now != last {
                            last = now
                            try await Task.sleep(for: .milliseconds(200))
                        }
                        throw Stop()
                    }
                }
            }
            #expect(sent.load(ordering: .relaxed) < total / 4)
        }
    }

    @Test("are broken off by the reader, which closes the connection at once", arguments: [true, false])
    func earlyClose(atHead: Bool) async throws {
        let ends = Atomic<Int>(0)
        try await ScriptedServer.run { peer in
            _ = await peer.request()
            try await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            if await peer.request() == nil { ends.add(1, ordering: .relaxed) }
        } body: { server in
            try await withTransport(.test(server, usesTLS: false)) { transport in
                await #expect(throws: Stop()) {
                    try await transport.get(APIRequest(path: "/", accept: "*/*")) { part in
                        if case .head = part, !atHead { return }
                        throw Stop()
                    }
                }
                let isClosed = try await eventually { ends.load(ordering: .relaxed) == 1 }
                #expect(isClosed)
            }
        }
    }

    @Test("are broken off by cancelling, before and in the response", arguments: [true, false])
    func cancellation(beforeHead: Bool) async throws {
        let ends = Atomic<Int>(0)
        let (starts, started) = AsyncStream.makeStream(of: Void.self)
        try await ScriptedServer.run { peer in
            _ = await peer.request()
            if !beforeHead { try await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n") }
            started.yield()
            if await peer.request() == nil { ends.add(1, ordering: .relaxed) }
        } body: { server in
            try await withTransport(.test(server, usesTLS: false)) { transport in
                await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await transport.get(APIRequest(path: "/", accept: "*/*")) {
                            if case .body = $0 { started.yield() }
                        }
                    }
                    var iterator = starts.makeAsyncIterator()
                    await iterator.next()
                    if !beforeHead { await iterator.next() }
                    group.cancelAll()
                    await #expect(throws: CancellationError.self) { try await group.next() }
                }
                let isClosed = try await eventually { ends.load(ordering: .relaxed) == 1 }
                #expect(isClosed)
            }
        }
    }

    @Test("end with the transport")
    func shutdown() async throws {
        let (starts, started) = AsyncStream.makeStream(of: Void.self)
        try await ScriptedServer.run { peer in
            _ = await peer.request()
            started.yield()
            _ = await peer.request()
        } body: { server in
            let label = "http://127.0.0.1:\(server.port): GET /version failed: "
            try await withTransport(.test(server, usesTLS: false)) { transport in
                async let failure = transport.failure()
                for await _ in starts { break }
                await transport.shutdown()
                let failures = [try await failure, try await transport.failure()]
                #expect(failures == Array(repeating: label + "the connection was shut down here", count: 2))
            }
        }
    }

    @Test("a transport that is let go of, used or not, is shut down")
    func letGo() async throws {
        let unused = ConnectionSettings(server: ServerAddress(usesTLS: false, host: "127.0.0.1", port: 1))
        // The HTTP client ends the process where it is not.
        _ = try HTTPTransport(unused)
        try await ScriptedServer.run { peer in
            _ = await peer.request()
            try await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            // The end of the connection.
            _ = await peer.request()
        } body: { server in
            let transport = try HTTPTransport(.test(server, usesTLS: false))
            #expect(try await transport.answer().body == "ok")
        }
    }
}

@Suite("A server that misbehaves")
struct MisbehaviourTests {
    /// Asks a server that does this with its first connection.
    private func failure(
        _ script: @escaping @Sendable (ScriptedServer.Peer) async throws -> Void
    ) async throws -> String {
        try await ScriptedServer.run(script: script) { server in
            let failure = try await withTransport(.test(server, usesTLS: false)) { try await $0.failure() }
            return (failure ?? "none").replacing("http://127.0.0.1:\(server.port): ", with: "")
        }
    }

    private static let broken = "the response to GET /version broke off: "

    @Test("with garbage instead of HTTP")
    func garbage() async throws {
        let failure = try await failure { peer in
            _ = await peer.request()
            try await peer.send("SSH-2.0-OpenSSH_9.2\r\n")
            _ = await peer.request()
        }
        #expect(failure == "GET /version failed: what the server answers is not HTTP")
    }

    @Test("with headers that never end")
    func endlessHeaders() async throws {
        let sent = Atomic<Int>(0)
        let failure = try await failure { peer in
            _ = await peer.request()
            try await peer.send("HTTP/1.1 200 OK\r\n")
            while true {
                try await peer.send("X-Filler: \(String(repeating: "x", count: 1000))\r\n")
                sent.add(1000, ordering: .relaxed)
            }
        }
        #expect(failure == "GET /version failed: the response's headers are too large")
        #expect(sent.load(ordering: .relaxed) < 64 << 20)
    }

    @Test("with one header that never ends")
    func endlessHeader() async throws {
        let failure = try await failure { peer in
            _ = await peer.request()
            try await peer.send("HTTP/1.1 200 OK\r\nX-Filler: ")
            while true { try await peer.send(String(repeating: "x", count: 1000)) }
        }
        #expect(failure == "GET /version failed: the response's headers are too large")
    }

    @Test("that closes the connection before it answers")
    func closesBefore() async throws {
        let failure = try await failure { _ = await $0.request() }
        #expect(failure == "GET /version failed: the server closed the connection")
    }

    @Test(
        "that closes the connection in the middle",
        arguments: ["Content-Length: 9\r\n\r\nfour", "Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n"])
    func closesInTheMiddle(_ part: String) async throws {
        let failure = try await failure { peer in
            _ = await peer.request()
            try await peer.send("HTTP/1.1 200 OK\r\n\(part)")
        }
        #expect(failure == Self.broken + "the server closed the connection")
    }

    @Test("that resets the connection in the middle")
    func resets() async throws {
        let (received, confirm) = AsyncStream.makeStream(of: Void.self)
        try await ScriptedServer.run { peer in
            _ = await peer.request()
            try await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n")
            for await _ in received { break }
            try await peer.reset()
        } body: { server in
            try await withTransport(.test(server, usesTLS: false)) { transport in
                await #expect {
                    try await transport.get(APIRequest(path: "/", accept: "*/*")) {
                        if case .body = $0 { confirm.yield() }
                    }
                } throws: {
                    "\($0)" == "http://127.0.0.1:\(server.port): the response to GET / broke off: "
                        + "connection reset by peer"
                }
            }
        }
    }

    @Test("with a broken chunk")
    func brokenChunk() async throws {
        let failure = try await failure { peer in
            _ = await peer.request()
            try await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
            _ = await peer.request()
        }
        #expect(failure == Self.broken + "what the server answers is not HTTP")
    }

    @Test("that is not there", arguments: ["127.0.0.1", "localhost"])
    func refused(_ host: String) async throws {
        let port = try SilentPort()
        let settings = ConnectionSettings(server: ServerAddress(usesTLS: false, host: host, port: port.number))
        let failure = try await withTransport(settings) { try await $0.failure() }
        #expect(failure == "\(settings.server): GET /version failed: connection refused")
        withExtendedLifetime(port) {}
    }

    @Test("whose name nobody knows")
    func unknownName() async throws {
        let settings = ConnectionSettings(server: ServerAddress(usesTLS: true, host: "nowhere.invalid", port: 6443))
        let failure = try await withTransport(settings) { try await $0.failure() }
        #expect(
            failure == "https://nowhere.invalid:6443: GET /version failed: "
                + "no address is found for the name nowhere.invalid")
    }

    @Test("that accepts and is silent during the TLS handshake")
    func silentHandshake() async throws {
        try await ScriptedServer.run { peer in
            _ = await peer.request()
        } body: { server in
            let limits = HTTPTransport.Limits(connectTime: .seconds(1))
            let failure = try await withTransport(.test(server), limits: limits) { try await $0.failure() }
            #expect(failure == "https://127.0.0.1:\(server.port): GET /version failed: no connection after 1 s")
        }
    }
}
