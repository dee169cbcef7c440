import Foundation
import ProxyCore
import Synchronization
import Testing

@testable import SyncLoop

private final class Gate: Sendable {
    let isOpen = Atomic(false)
}

@Suite("StatusServer")
struct StatusServerTests {
    /// Short: the path of a socket has 107 bytes at most.
    private let path = FileManager.default.temporaryDirectory.appending(path: "sw-\(UUID().uuidString)").path()
    /// How long what comes at once is waited for.
    private static let patience = Duration.seconds(120)
    private let status = DaemonStatus.eventful(at: Date(timeIntervalSince1970: 1_767_323_045))

    private func serve() throws -> StatusServer {
        try StatusServer(path: path) { [status] in status }
    }

    /// Asks on a thread that may block: those of tasks are needed for the answer.
    private func ask(within limit: Duration = Self.patience) async throws -> [UInt8] {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { [path] in
                continuation.resume(with: Result { try StatusClient.read(path: path, within: limit) })
            }
        }
    }

    @Test("gives each that connects the document")
    func answers() async throws {
        let server = try serve()
        defer { server.stop() }
        for _ in 0..<3 { #expect(try await DaemonStatus(document: ask()) == status) }
    }

    @Test("lets only its own user connect")
    func mode() throws {
        let server = try serve()
        defer { server.stop() }
        var file = stat()
        try #require(lstat(path, &file) == 0)
        #expect(file.st_mode == S_IFSOCK | 0o600)
    }

    @Test("removes its file when it stops, and nobody answers then")
    func stop() async throws {
        let server = try serve()
        server.stop()
        #expect(access(path, F_OK) == -1)
        await #expect(throws: StatusSocketError.notRunning(path: path)) { try await ask() }
    }

    @Test("keeps no thread when it has stopped")
    func threadEnds() async throws {
        let gate = Gate()
        weak let held = gate
        var server: StatusServer? = try StatusServer(path: path) { [gate, status] in
            _ = gate
            return status
        }
        _ = try await ask()
        server?.stop()
        server = nil
        _ = consume gate
        // The thread holds what it answers with.
        let deadline = ContinuousClock.now + Self.patience
        while held != nil, .now < deadline { try await Task.sleep(for: .milliseconds(10)) }
        #expect(held == nil)
    }

    @Test("replaces the socket that a dead daemon has left")
    func stale() async throws {
        do {
            let dead = try UnixSocket()
            #expect(try dead.bind(to: path) == 0)
        }
        #expect(access(path, F_OK) == 0)
        await #expect(throws: StatusSocketError.notRunning(path: path)) { try await ask() }
        let server = try serve()
        defer { server.stop() }
        #expect(try await DaemonStatus(document: ask()) == status)
    }

    @Test("leaves a living daemon's socket alone, and names the daemon")
    func living() async throws {
        let server = try serve()
        defer { server.stop() }
        #expect {
            try serve()
        } throws: {
            ($0 as? StatusSocketError)?.description
                == "The socket \(path) belongs to a daemon that is running (process \(getpid())): "
                + "stop it, or name another with --status-socket."
        }
        #expect(try await DaemonStatus(document: ask()) == status)
    }

    @Test("leaves alone a file that is no socket, and a socket that another has put in its place")
    func foreignFiles() throws {
        defer { unlink(path) }
        try Data("kept".utf8).write(to: URL(filePath: path))
        #expect(throws: StatusSocketError.self) { try serve() }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "kept")
        unlink(path)
        let server = try serve()
        unlink(path)
        let other = try UnixSocket()
        #expect(try other.bind(to: path) == 0)
        server.stop()
        #expect(access(path, F_OK) == 0)
    }

    @Test("says what is wrong with a path")
    func paths() throws {
        let long = "/run/" + String(repeating: "x", count: 200)
        for (path, sentence) in [
            (long, "Cannot name the socket \(long): a path has 1 to 107 bytes."),
            ("/nonexistent/s", "Cannot open the socket /nonexistent/s: No such file or directory."),
        ] {
            #expect {
                try StatusServer(path: path) { [status] in status }
            } throws: { ($0 as? StatusSocketError)?.description == sentence }
        }
    }

    @Test("answers others while some do not read, however much there is to read")
    func unreadConnections() async throws {
        var large = status
        // More than a socket holds.
        large.problems = Array(repeating: String(repeating: "x", count: 1000), count: 400)
        let server = try StatusServer(path: path, patience: .seconds(600)) { [large] in large }
        defer { server.stop() }
        let silent = try (0..<4).map { _ in
            let socket = try UnixSocket()
            #expect(try socket.connect(to: path) == 0)
            return socket
        }
        #expect(try await DaemonStatus(document: ask()) == large)
        withExtendedLifetime(silent) {}
    }

    @Test("gives up whoever does not read")
    func givenUp() async throws {
        var large = status
        large.problems = Array(repeating: String(repeating: "x", count: 1000), count: 400)
        let server = try StatusServer(path: path, patience: .milliseconds(50)) { [large] in large }
        defer { server.stop() }
        let silent = try UnixSocket()
        #expect(try silent.connect(to: path) == 0)
        let deadline = ContinuousClock.now + Self.patience
        #expect(silent.wait(for: POLLIN, until: deadline))
        // The other end has gone: poll tells it whatever is asked for.
        #expect(silent.wait(for: 0, until: deadline))
        var count = 0
        var piece = [UInt8](repeating: 0, count: 65536)
        while case let part = recv(silent.descriptor, &piece, piece.count, 0), part > 0 { count += part }
        #expect(try count < large.document().count)
    }

    @Test("closes what is too many, and answers again when they have gone")
    func tooMany() async throws {
        let gate = Gate()
        let server = try StatusServer(path: path) { [status] in
            while !gate.isOpen.load(ordering: .relaxed) { try? await Task.sleep(for: .milliseconds(1)) }
            return status
        }
        defer { server.stop() }
        let waiting = try (0..<StatusServer.connectionLimit).map { _ in
            let socket = try UnixSocket()
            #expect(try socket.connect(to: path) == 0)
            return socket
        }
        let start = ContinuousClock.now
        await #expect(throws: StatusSocketError.noAnswer(path: path, process: getpid())) { try await ask() }
        // Not because nothing came.
        #expect(.now - start < Self.patience)
        gate.isOpen.store(true, ordering: .relaxed)
        // They are answered first.
        let deadline = ContinuousClock.now + Self.patience
        var answer: [UInt8]?
        while answer == nil, .now < deadline { answer = try? await ask() }
        #expect(answer == (try status.document()))
        withExtendedLifetime(waiting) {}
    }

    @Test("is given up by who asks when the daemon does not answer in time")
    func noAnswer() async throws {
        let listening = try UnixSocket()
        defer { unlink(path) }
        #expect(try listening.bind(to: path) == 0)
        #expect(listen(listening.descriptor, 4) == 0)
        await #expect(throws: StatusSocketError.noAnswer(path: path, process: getpid())) {
            try await ask(within: .milliseconds(50))
        }
    }
}
