import Dispatch
import Foundation

/// An HTTP client on a socket, with nothing between the test and what the server sends.
struct PlainClient: Sendable {
    let port: Int

    enum Ending: Equatable, Sendable {
        /// The response was complete.
        case complete
        /// The connection was closed before.
        case closed
        /// ECONNRESET.
        case reset
        /// Nothing came for the time that the test waits.
        case quiet
        case refused
    }

    struct Response: Sendable {
        var statusLine = ""
        /// Names in lower case.
        var headers: [String: String] = [:]
        /// Without chunking.
        var body: [UInt8] = []
        /// As it came, head included.
        var raw: [UInt8] = []
        var ending = Ending.closed

        var text: String { String(decoding: body, as: UTF8.self) }
        var lines: [String] { text.split(separator: "\n").map(String.init) }
        var status: Int { Int(statusLine.split(separator: " ").dropFirst().first ?? "") ?? 0 }
    }

    /// Asks and reads until the response is complete, the connection ends, `isEnough` says so, or nothing comes for
    /// `patience` seconds.
    ///
    /// Where `settle` is given, what is enough does not end the reading: it goes on until nothing comes for so many
    /// seconds.
    func get(
        _ target: String, accept: String = "application/json", token: String? = nil, patience: Double = 120,
        settle: Double? = nil,
        until isEnough: @escaping @Sendable (Response) -> Bool = { _ in false }
    ) async -> Response {
        var request = "GET \(target) HTTP/1.1\r\nHost: localhost\r\nAccept: \(accept)\r\n"
        if let token { request += "Authorization: Bearer \(token)\r\n" }
        let bytes = Array((request + "\r\n").utf8)
        return await withCheckedContinuation { continuation in
            // A thread of its own waits, so that the tests' tasks go on.
            Thread.detachNewThread {
                continuation.resume(returning: exchange(bytes, patience, settle, until: isEnough))
            }
        }
    }

    private func exchange(
        _ request: [UInt8], _ patience: Double, _ settle: Double?, until isEnough: (Response) -> Bool
    ) -> Response {
        var response = Response()
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0, send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            response.ending = .refused
            return response
        }
        wait(patience, for: descriptor)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 {
                response.ending = count == 0 ? .closed : errno == ECONNRESET ? .reset : .quiet
                return response
            }
            response.raw += buffer[..<count]
            if response.parse() {
                response.ending = .complete
                return response
            }
            if isEnough(response) {
                guard let settle else { return response }
                wait(settle, for: descriptor)
            }
        }
    }

    /// Sets how long a read waits.
    private func wait(_ seconds: Double, for descriptor: Int32) {
        var time = timeval()
        time.tv_sec = Int(seconds)
        time.tv_usec = Int((seconds - seconds.rounded(.down)) * 1_000_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }
}

extension PlainClient.Response {
    /// Takes apart what has come; true if that is a whole response.
    fileprivate mutating func parse() -> Bool {
        let separator = Data("\r\n\r\n".utf8)
        guard let end = Data(raw).range(of: separator) else { return false }
        let lines = String(decoding: raw[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        statusLine = lines[0]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        let rest = raw[end.upperBound...]
        guard headers["transfer-encoding"] == "chunked" else {
            body = Array(rest)
            return headers["content-length"].flatMap { Int($0) } == body.count
        }
        return parseChunks(rest)
    }

    private mutating func parseChunks(_ bytes: ArraySlice<UInt8>) -> Bool {
        body = []
        var rest = bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let size = String(decoding: rest[..<end], as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            guard let count = Int(size, radix: 16) else { return false }
            rest = rest[(end + 1)...]
            if count == 0 { return true }
            body += rest.prefix(count)
            guard rest.count >= count + 2 else { return false }
            rest = rest.dropFirst(count + 2)
        }
        return false
    }
}
