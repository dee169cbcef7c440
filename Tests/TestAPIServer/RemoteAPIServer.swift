import Dispatch
import Foundation
import Synchronization

/// A server in a process of its own, such as one inside a network namespace; ended when the last reference to it goes.
package final class RemoteAPIServer: Sendable {
    package let port: Int
    /// Files are the same in every network namespace.
    package let kubeconfigPath: String
    private let child: ChildProcess
    private let lines: LineReader
    /// Commands wait for their answers here, one after the other, not on a thread of the tasks.
    private let queue = DispatchQueue(label: "test-api-server")
    private let isOver = Mutex(false)

    /// Starts the program.
    ///
    /// - Parameters:
    ///   - program: where `test-api-server` was built.
    ///   - commandPrefix: what goes before it, such as `["ip", "netns", "exec", name]`.
    package static func start(
        program: String, commandPrefix: [String] = [], options: TestAPIServerOptions = .init()
    ) async throws -> RemoteAPIServer {
        let text = String(decoding: try JSONEncoder().encode(options), as: UTF8.self)
        let child = try ChildProcess(commandPrefix + [program, text])
        let lines = LineReader(child.end)
        let ready = await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: lines.next()) }
        }
        let words = (ready ?? "").split(separator: " ", maxSplits: 2)
        guard words.count == 3, words[0] == "ready", let port = Int(words[1]) else {
            child.kill()
            let status = child.wait()
            throw TestAPIServerError("\(program) ended with \(status) before it was ready")
        }
        return RemoteAPIServer(child, lines, port: port, kubeconfigPath: String(words[2]))
    }

    private init(_ child: ChildProcess, _ lines: LineReader, port: Int, kubeconfigPath: String) {
        self.child = child
        self.lines = lines
        self.port = port
        self.kubeconfigPath = kubeconfigPath
    }

    deinit {
        end { child.kill() }
    }

    /// Gives a command and waits for its answer; throws what the program answers with an error.
    @discardableResult
    package func send(_ command: ServerCommand) async throws -> ServerReply {
        let request = Array(try JSONEncoder().encode(command)) + [UInt8(ascii: "\n")]
        let answer = await withCheckedContinuation { continuation in
            queue.async { [child, lines] in
                continuation.resume(returning: child.write(request) ? lines.next() : nil)
            }
        }
        guard let answer else { throw TestAPIServerError("the program test-api-server is gone") }
        let reply = try JSONDecoder().decode(ServerReply.self, from: Data(answer.utf8))
        if let error = reply.error { throw TestAPIServerError(error) }
        return reply
    }

    /// Ends the server in good order.
    package func stop() async throws {
        try await send(.stop)
        end {}
    }

    private func end(_ act: () -> Void) {
        isOver.withLock { isOver in
            guard !isOver else { return }
            act()
            _ = child.wait()
            isOver = true
        }
    }
}

extension RemoteAPIServer {
    /// The version of the object.
    @discardableResult
    package func set(json: String) async throws -> Int {
        try await send(.set(json: json)).version
    }

    @discardableResult
    package func set(_ object: JSONValue) async throws -> Int {
        try await set(json: String(decoding: object.text, as: UTF8.self))
    }

    /// The version of the deletion.
    @discardableResult
    package func delete(kind: String, namespace: String?, name: String) async throws -> Int {
        try await send(.delete(kind: kind, namespace: namespace, name: name)).version
    }

    @discardableResult
    package func load(file path: String) async throws -> Int {
        try await send(.loadFile(path: path)).version
    }

    package func fail(_ fault: Fault) async throws {
        try await send(.fail(fault: fault))
    }

    package func requests() async throws -> [RequestRecord] {
        try await send(.requests).requests ?? []
    }

    package func watchCount(_ resource: APIResource? = nil) async throws -> Int {
        try await send(.watchCount(resource: resource)).count ?? 0
    }
}

/// Lines from a descriptor.
private final class LineReader: Sendable {
    private let descriptor: Int32
    private let rest = Mutex<[UInt8]>([])

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// The next line, waiting for it; nil at the end.
    func next() -> String? {
        rest.withLock { rest in
            var buffer = [UInt8](repeating: 0, count: 65536)
            while true {
                if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    defer { rest.removeFirst(end + 1) }
                    return String(decoding: rest[..<end], as: UTF8.self)
                }
                let count = read(descriptor, &buffer, buffer.count)
                guard count > 0 else { return nil }
                rest += buffer[..<count]
            }
        }
    }
}
