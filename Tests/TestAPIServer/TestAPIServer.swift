import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// An API server for tests: lists and watches of the objects that a service proxy reads, in both encodings, with
/// faults on demand.
///
/// It knows nothing of this project's decoders, so that both can be held against each other; its answers are held
/// against those of a real server in `golden/apiserver`. Objects are kept as they are given: it fills in no defaults
/// but `uid`, `creationTimestamp` and `resourceVersion`.
package final class TestAPIServer: Sendable {
    /// The number of the port; the same after `acceptConnections`.
    package let port: Int
    /// Where the certificates and the kubeconfig are; gone when the server is stopped.
    package let folder: String
    private let state: ServerState
    private let certificates: ServerCertificates?
    private let listener: Mutex<(any Channel)?>
    /// Threads that all servers of a process share; they last as long as it.
    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)

    private init(
        port: Int, folder: String, state: ServerState, certificates: ServerCertificates?, listener: any Channel
    ) {
        self.port = port
        self.folder = folder
        self.state = state
        self.certificates = certificates
        self.listener = Mutex(listener)
    }

    package static func start(_ options: TestAPIServerOptions = .init()) async throws -> TestAPIServer {
        let folder = try makeFolder()
        let certificates = options.isTLS ? try ServerCertificates(folder: folder, host: options.host) : nil
        let state = ServerState(options)
        let channel = try await listen(state, certificates, port: options.port)
        guard let port = channel.localAddress?.port else { throw TestAPIServerError("the listener has no port") }
        let server = TestAPIServer(
            port: port, folder: folder, state: state, certificates: certificates, listener: channel)
        try server.writeKubeconfig()
        return server
    }

    /// Closes the listener and all connections, and removes the folder.
    package func stop() async {
        await refuseConnections()
        try? FileManager.default.removeItem(atPath: folder)
    }

    deinit {
        listener.withLock { $0 }?.close(promise: nil)
        state.connections.withLock { Array($0.values) }.forEach(Self.abandon)
        try? FileManager.default.removeItem(atPath: folder)
    }

    private static func listen(
        _ state: ServerState, _ certificates: ServerCertificates?, port: Int
    ) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                let id = ObjectIdentifier(channel)
                state.connections.withLock { $0[id] = channel }
                channel.closeFuture.whenComplete { _ in state.connections.withLock { $0[id] = nil } }
                return channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let certificates { try pipeline.addHandler(certificates.handler()) }
                    // No pipelining: it would stop reading during a watch, and miss that the client is gone.
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(APIConnection(state, certificates))
                }
            }
            .withBoundSocket(boundSocket(SocketAddress(ipAddress: state.options.host, port: port))).get()
    }

    /// NIO's own sockets do not close on exec: a program that a test starts would keep the port open after us.
    private static func boundSocket(_ address: SocketAddress) throws -> NIOBSDSocket.Handle {
        let family = address.protocol == .inet6 ? AF_INET6 : AF_INET
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw TestAPIServerError("socket", code: errno) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let result = address.withSockAddr { bind(descriptor, $0, socklen_t($1)) }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw TestAPIServerError("bind \(address)", code: code)
        }
        return descriptor
    }
}

// MARK: Where clients find it

extension TestAPIServer {
    /// Such as `https://127.0.0.1:40001`.
    package var url: String {
        let host = state.options.host.contains(":") ? "[\(state.options.host)]" : state.options.host
        return "\(state.options.isTLS ? "https" : "http")://\(host):\(port)"
    }

    /// With the authority's certificate, and a token or the client certificate where the server wants one.
    package var kubeconfigPath: String { "\(folder)/kubeconfig" }
    package var authorityPath: String { "\(folder)/ca.crt" }
    package var clientCertificatePath: String { "\(folder)/client.crt" }
    package var clientKeyPath: String { "\(folder)/client.key" }

    private static func makeFolder() throws -> String {
        var path = Array(
            FileManager.default.temporaryDirectory.appendingPathComponent("apiserver-XXXXXX").path.utf8CString)
        guard mkdtemp(&path) != nil else { throw TestAPIServerError("mkdtemp", code: errno) }
        return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func writeKubeconfig() throws {
        let credentials = state.options.credentials
        let user: JSONValue =
            if credentials?.acceptsClientCertificate == true {
                [
                    "client-certificate": .string(clientCertificatePath),
                    "client-key": .string(clientKeyPath),
                ]
            } else if let token = credentials?.tokens.keys.min() {
                ["token": .string(token)]
            } else {
                [:]
            }
        var cluster: JSONValue = ["server": .string(url)]
        if state.options.isTLS { cluster["certificate-authority"] = .string(authorityPath) }
        // JSON is YAML too.
        let kubeconfig: JSONValue = [
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [["name": "test", "cluster": cluster]],
            "users": [["name": "proxy", "user": user]],
            "contexts": [["name": "test", "context": ["cluster": "test", "user": "proxy"]]],
        ]
        try Data(kubeconfig.text).write(to: URL(fileURLWithPath: kubeconfigPath))
    }
}

// MARK: Objects

extension TestAPIServer {
    /// The version of the last change.
    package var version: Int { state.store.withLock { $0.version } }

    /// Creates or replaces an object, which needs its kind and name, and returns its version. An equal object changes
    /// nothing.
    @discardableResult
    package func set(_ object: JSONValue) throws -> Int {
        try state.store.withLock { store throws(TestAPIServerError) in try store.set(object) }
    }

    @discardableResult
    package func set(json: String) throws -> Int {
        try set(JSONValue(parsing: json))
    }

    /// Creates or replaces all items of a List, in which each item has a kind or the list's kind tells it; returns the
    /// last version.
    @discardableResult
    package func load(list: JSONValue) throws -> Int {
        let listKind = list["kind"].string ?? ""
        var last = version
        for var item in list["items"].elements {
            if item["kind"] == .null { item["kind"] = .string(String(listKind.dropLast("List".count))) }
            last = try set(item)
        }
        return last
    }

    @discardableResult
    package func load(file path: String) throws -> Int {
        try load(list: JSONValue(parsing: Data(contentsOf: URL(fileURLWithPath: path))))
    }

    /// Deletes an object and returns the version of the deletion; nil if there is none.
    @discardableResult
    package func delete(kind: String, namespace: String?, name: String) -> Int? {
        guard let resource = APIResource(kind: kind) else { return nil }
        return state.store.withLock { $0.delete(resource, key: ObjectStore.key(namespace: namespace, name: name)) }
    }

    /// Forgets all changes: whoever asks for an older version than the present one is refused with 410, tokens of
    /// paged lists included. Open watches go on.
    package func compact() {
        state.store.withLock { $0.compact() }
    }

    /// Counts the version up, as changes to other resources do.
    package func skipVersions(_ count: Int) {
        state.store.withLock { $0.skipVersions(count) }
    }

    /// How many watches are open.
    package func watchCount(_ resource: APIResource? = nil) -> Int {
        state.store.withLock { $0.watches(resource).count }
    }
}

// MARK: Faults and records

extension TestAPIServer {
    /// Adds a fault to those that wait for requests; the oldest that fits meets a request.
    package func fail(_ fault: Fault) {
        state.faults.withLock { $0.add(fault) }
    }

    /// Takes all faults back that still wait.
    package func clearFaults() {
        state.faults.withLock { $0.clear() }
    }

    /// Makes something go wrong in all watches that are open, or in those of one resource.
    package func inject(_ fault: StreamFault, resource: APIResource? = nil) {
        state.store.withLock { store in
            store.watches(resource).forEach { $0.append([.fault(fault)]) }
        }
    }

    /// Changes who may read from now on; nil for everybody.
    package func setCredentials(_ credentials: Credentials?) {
        state.credentials.withLock { $0 = credentials }
    }

    /// Closes the listener and all connections, so that new ones are refused.
    package func refuseConnections() async {
        let channel = listener.withLock { listener in
            defer { listener = nil }
            return listener
        }
        try? await channel?.close()
        await closeConnections()
    }

    /// Listens again, at the same port.
    package func acceptConnections() async throws {
        guard listener.withLock({ $0 == nil }) else { return }
        let channel = try await Self.listen(state, certificates, port: port)
        listener.withLock { $0 = channel }
    }

    /// Closes all connections; new ones are accepted.
    package func closeConnections() async {
        for channel in state.connections.withLock({ Array($0.values) }) {
            Self.abandon(channel)
            try? await channel.closeFuture.get()
        }
    }

    /// Closes a connection as the end of a process does: without TLS's farewell, and without waiting for the client's.
    private static func abandon(_ channel: any Channel) {
        channel.eventLoop.execute {
            let tls = try? channel.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)
            if let tls { tls.close(mode: .all, promise: nil) } else { channel.close(promise: nil) }
        }
    }

    /// All requests since the start or since the records were cleared, in the order in which they came.
    package var requests: [RequestRecord] { state.requests.withLock { $0.records } }

    package func clearRequests() {
        state.requests.withLock { $0.clear() }
    }
}
