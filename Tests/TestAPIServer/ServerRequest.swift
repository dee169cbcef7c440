import Foundation
import NIOHTTP1

/// A request as the server has recorded it.
package struct RequestRecord: Codable, Hashable, Sendable {
    package var method: String
    package var path: String
    /// As it came, still escaped; empty if there is none.
    package var query: String
    package var accept: String
    /// Whose credentials it had; nil if it did not come to that.
    package var user: String?
    /// What it was answered with; nil as long as it is not.
    package var status: Int?
    package var contentType: String?
}

/// The records of requests, numbered from the start.
struct RequestLog: Sendable {
    private(set) var records: [RequestRecord] = []
    /// How many have been cleared.
    private var cleared = 0

    /// The number of the request.
    mutating func append(_ record: RequestRecord) -> Int {
        records.append(record)
        return cleared + records.count - 1
    }

    /// Changes a record, unless it has been cleared.
    mutating func change(_ number: Int, _ change: (inout RequestRecord) -> Void) {
        guard number >= cleared else { return }
        change(&records[number - cleared])
    }

    mutating func clear() {
        cleared += records.count
        records = []
    }
}

/// A request that has been taken apart.
struct ServerRequest: Sendable {
    let method: String
    let path: String
    let query: String
    let accept: String
    let authorization: String?
    private let parameters: [String: String]

    init(_ head: HTTPRequestHead) {
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        method = head.method.rawValue
        path = String(parts[0])
        query = parts.count > 1 ? String(parts[1]) : ""
        accept = head.headers["accept"].joined(separator: ",")
        authorization = head.headers.first(name: "authorization")
        var parameters: [String: String] = [:]
        for item in query.split(separator: "&") {
            let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            parameters[Self.unescaped(pair[0])] = pair.count > 1 ? Self.unescaped(pair[1]) : ""
        }
        self.parameters = parameters
    }

    /// A parameter of the query; empty if there is none.
    subscript(_ name: String) -> String { parameters[name] ?? "" }

    func isTrue(_ name: String) -> Bool { ["true", "1"].contains(self[name]) }

    /// A version or a limit; nil if there is none.
    func number(_ name: String) throws(Refusal) -> Int? {
        guard !self[name].isEmpty else { return nil }
        guard let number = Int(self[name]), number >= 0 else {
            throw .badRequest("invalid \(name): \"\(self[name])\"")
        }
        return number
    }

    private static func unescaped(_ text: Substring) -> String {
        let spaced = text.replacing("+", with: " ")
        return String(spaced).removingPercentEncoding ?? String(spaced)
    }
}
