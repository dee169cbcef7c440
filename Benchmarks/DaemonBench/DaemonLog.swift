import BenchSupport
import Foundation
import Synchronization

/// The lines that a daemon logs as JSON, each with the time at which it was read.
///
/// They come through a named pipe that a thread reads, so that a line's time is that of its writing, give or take the
/// daemon's writing thread.
final class DaemonLog: Sendable {
    struct Line: Sendable {
        let readAt: ContinuousClock.Instant
        let message: String
        let metadata: [String: String]

        /// A number of the metadata; 0 where there is none.
        func number(_ key: String) -> Double { metadata[key].flatMap(Double.init) ?? 0 }
    }

    let path: String
    private let lines = Mutex<[Line]>([])

    init() throws {
        path = NSTemporaryDirectory() + "daemon-log-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        guard mkfifo(path, 0o600) == 0 else { throw Failure("mkfifo \(path): errno \(errno)") }
        // Open for writing too, so that opening does not wait and reading does not end.
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("open \(path): errno \(errno)") }
        let thread = Thread { [weak self] in
            var rest: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65536)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                let now = ContinuousClock.now
                guard count > 0, let self else { break }
                rest += buffer[..<count]
                while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    self.take(rest[..<end], now)
                    rest.removeFirst(end + 1)
                }
            }
            close(descriptor)
        }
        thread.start()
    }

    deinit { unlink(path) }

    private func take(_ bytes: ArraySlice<UInt8>, _ now: ContinuousClock.Instant) {
        guard let document = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] else {
            print("the daemon: \(String(decoding: bytes, as: UTF8.self))")
            return
        }
        let message = document["message"] as? String ?? ""
        let metadata = document["metadata"] as? [String: Any] ?? [:]
        if let level = document["level"] as? String, level == "warning" || level == "error" {
            print("the daemon: \(String(decoding: bytes.prefix(1000), as: UTF8.self))")
        }
        lines.withLock { $0.append(Line(readAt: now, message: message, metadata: metadata.mapValues { "\($0)" })) }
    }

    /// How many lines there are.
    var count: Int { lines.withLock(\.count) }

    /// The lines after the first `count` of this message, and of this family where one is said.
    func all(_ message: String, after count: Int = 0, family: String? = nil) -> [Line] {
        lines.withLock { lines in
            lines.dropFirst(count).filter {
                $0.message == message && (family == nil || $0.metadata["family"] == family)
            }
        }
    }

    /// Waits for such a line.
    func first(
        _ message: String, after count: Int = 0, family: String? = nil, within limit: Duration = .seconds(120)
    ) async throws -> Line {
        let end = ContinuousClock.now + limit
        while true {
            if let line = all(message, after: count, family: family).first { return line }
            guard .now < end else { throw Failure("the daemon has not logged: \(message)") }
            try await Task.sleep(for: .microseconds(500))
        }
    }
}
