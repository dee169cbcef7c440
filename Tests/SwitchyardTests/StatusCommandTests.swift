import Foundation
import TestSupport
import Testing

@Suite("switchyard status")
struct StatusCommandTests {
    /// Short: the path of a socket has 107 bytes at most.
    private let path = FileManager.default.temporaryDirectory.appending(path: "sw-\(UUID().uuidString)").path()

    @Test("ends with 2 and one sentence where no daemon is running")
    func notRunning() throws {
        let result = try status()
        #expect(result.status == 2)
        #expect(result.output == "")
        #expect(result.errors == "switchyard: error: No daemon is running: nobody answers at the socket \(path).\n")
    }

    @Test("ends with 1 where it cannot be told whether a daemon is running", .kernel("setpriv"))
    func cannotAsk() throws {
        let noSocket = try Command.run([BuiltProducts.switchyard, "status", "--socket", "/etc/passwd/socket"])
        #expect(noSocket.status == 1)
        #expect(
            noSocket.errors == "switchyard: error: Cannot connect to the socket /etc/passwd/socket: Not a directory.\n")
        try answer("hello") {
            try #require(chmod(path, 0) == 0)
            let forbidden = try Command.run([
                "setpriv", "--bounding-set", "-dac_override", BuiltProducts.switchyard, "status", "--socket", path,
            ])
            #expect(forbidden.status == 1)
            #expect(
                forbidden.errors == "switchyard: error: Cannot connect to the socket \(path): Permission denied.\n")
        }
    }

    @Test("ends with 0 if the daemon is healthy and with 1 if not", arguments: [true, false])
    func health(_ isHealthy: Bool) throws {
        let document = """
            {"healthy": \(isHealthy), "problems": \(isHealthy ? "[]" : #"["The kernel refuses."]"#), "families": [],
             "version": "1", "mode": "iptables", "nodeName": "n", "processID": 7, "logLinesDropped": 0,
             "startedAt": "2026-01-02T03:04:05.678Z",
             "source": {"description": "manifests in m", "synced": ["Service"], "interrupted": []}}
            """
        try answer(document) {
            let result = try status()
            #expect(result.status == (isHealthy ? 0 : 1))
            #expect(result.output.hasPrefix(isHealthy ? "healthy\n" : "NOT HEALTHY: The kernel refuses.\n"))
            #expect(result.errors == "")
        }
        try answer(document) {
            let result = try status("--json")
            #expect(result.status == (isHealthy ? 0 : 1))
            #expect(result.output == document)
        }
    }

    @Test("ends with 1 where what answers is no daemon")
    func garbage() throws {
        try answer("hello") {
            let result = try status()
            #expect(result.status == 1)
            #expect(
                result.errors
                    == "switchyard: error: What the socket \(path) gives is not a status that can be read.\n")
        }
    }

    private func status(_ arguments: String...) throws -> Command.Result {
        try Command.run([BuiltProducts.switchyard, "status", "--socket", path] + arguments)
    }

    /// Answers the first connection that comes while the body runs.
    private func answer(_ document: String, while body: () throws -> Void) throws {
        let listening = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listening, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        try #require(isBound && listen(listening, 1) == 0)
        defer {
            shutdown(listening, Int32(SHUT_RDWR))
            close(listening)
            unlink(path)
        }
        Thread {
            let connection = accept(listening, nil, nil)
            _ = send(connection, document, document.utf8.count, Int32(MSG_NOSIGNAL))
            close(connection)
        }.start()
        try body()
    }
}
