import Foundation

/// A response of a real API server, of `golden/apiserver`.
public struct RecordedResponse: Sendable {
    /// `services-list.json`
    public let name: String
    public let body: [UInt8]
    /// What was asked for: the path and the query as they were sent.
    public let target: String
    public let path: String
    /// The query's names and values, not escaped.
    public let query: [(name: String, value: String)]
    public let statusLine: String
    public let status: Int
    /// With names in lower case.
    public let headers: [String: String]

    public static let folder = GoldenCase.root.appending(path: "apiserver").path

    /// In lower case.
    public var contentType: String { (headers["content-type"] ?? "").lowercased() }

    /// Nil if there is no such recording, or its head cannot be read.
    public init?(_ name: String) {
        guard let body = FileManager.default.contents(atPath: "\(Self.folder)/\(name)"),
            let head = try? String(contentsOfFile: "\(Self.folder)/\(name).head", encoding: .utf8)
        else { return nil }
        let lines = head.split(whereSeparator: \.isNewline).map(String.init)
        guard let target = lines.first(where: { $0.hasPrefix("# GET ") })?.dropFirst("# GET ".count),
            let url = URLComponents(string: String(target)),
            let statusLine = lines.first(where: { $0.hasPrefix("HTTP/1.1 ") }),
            let status = Int(statusLine.split(separator: " ")[1])
        else { return nil }
        self.name = name
        self.body = Array(body)
        self.target = String(target)
        path = url.path
        query = (url.queryItems ?? []).map { ($0.name, $0.value ?? "") }
        self.statusLine = statusLine
        self.status = status
        let fields = lines.filter { !$0.hasPrefix("#") && $0 != statusLine }.map { line in
            line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
        }
        headers = Dictionary(
            fields.filter { $0.count == 2 }.map { ($0[0].lowercased(), $0[1]) }, uniquingKeysWith: { $1 })
    }
}
