import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

@testable import KubernetesAPI

/// A server on loopback that does with each connection what a test says, byte by byte.
final class ScriptedServer: Sendable {
    /// One connection, as the server sees it.
    struct Peer: Sendable {
        let channel: any Channel
        fileprivate let reader: Reader

        /// The next request up to its empty line; nil if the client has closed the connection.
        func request() async -> String? { await reader.next() }

        /// Returns once the kernel has it: a writer of NIO returns before its event loop has seen anything of it, and
        /// on a busy machine runs far ahead of that.
        func send(_ text: String) async throws { try await channel.writeAndFlush(ByteBuffer(string: text)) }

        /// Answers a request with a whole response.
        func respond(_ body: String = "", status: String = "200 OK", headers: String = "") async throws {
            try await send("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)")
        }

        /// Closes the connection with an RST.
        func reset() async throws {
            try await (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
            try await channel.close()
        }

        /// The certificate that the client has shown.
        var clientCertificate: NIOSSLCertificate? {
            get async throws { try await channel.nioSSL_peerCertificate().get() }
        }
    }

    fileprivate actor Reader {
        private var iterator: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
        private var text = ""

        init(_ stream: NIOAsyncChannelInboundStream<ByteBuffer>) {
            iterator = stream.makeAsyncIterator()
        }

        func next() async -> String? {
            var iterator = iterator
            while true {
                if let end = text.firstRange(of: "\r\n\r\n") {
                    defer { text.removeSubrange(..<end.upperBound) }
                    return String(text[..<end.lowerBound])
                }
                guard let piece = try? await iterator.next(isolation: self) else { return nil }
                text += String(buffer: piece)
            }
        }
    }

    let port: Int
    private let connections = Atomic<Int>(0)
    private let closedConnections = Atomic<Int>(0)

    var connectionCount: Int { connections.load(ordering: .relaxed) }
    var closedCount: Int { closedConnections.load(ordering: .relaxed) }

    private init(port: Int) {
        self.port = port
    }

    /// Runs a server while `body` runs. Each connection is handed to `script` and closed when that returns.
    @discardableResult
    static func run<Value: Sendable>(
        tls: TLSConfiguration? = nil, script: @escaping @Sendable (Peer) async throws -> Void,
        body: (ScriptedServer) async throws -> Value
    ) async throws -> Value {
        let context = try tls.map { try NIOSSLContext(configuration: $0) }
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let context {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    }
                    return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        let server = ScriptedServer(port: listener.channel.localAddress?.port ?? 0)
        return try await listener.executeThenClose { inbound in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await withThrowingDiscardingTaskGroup { group in
                        for try await connection in inbound {
                            group.addTask { await server.serve(connection, script) }
                        }
                    }
                }
                let value = try await body(server)
                group.cancelAll()
                return value
            }
        }
    }

    private func serve(
        _ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>, _ script: @Sendable (Peer) async throws -> Void
    ) async {
        connections.add(1, ordering: .relaxed)
        // What goes wrong here, the client is asked about.
        try? await connection.executeThenClose { inbound, _ in
            try await script(Peer(channel: connection.channel, reader: Reader(inbound)))
        }
        closedConnections.add(1, ordering: .relaxed)
    }

    /// Runs a server that answers every request with what `answer` makes of it; the body is `ok` otherwise.
    @discardableResult
    static func answering<Value: Sendable>(
        tls: TLSConfiguration? = nil, _ answer: @escaping @Sendable (String) -> String = { _ in "ok" },
        body: (ScriptedServer) async throws -> Value
    ) async throws -> Value {
        try await run(tls: tls) { peer in
            while let request = await peer.request() { try await peer.respond(answer(request)) }
        } body: {
            try await body($0)
        }
    }
}

extension String {
    /// The value of a header of a request; nil if it is not there.
    func header(_ name: String) -> String? {
        let line = split(separator: "\r\n").first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
        return line.map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
    }
}

/// Waits until something is so, for ten seconds at most.
func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<1000 {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}
