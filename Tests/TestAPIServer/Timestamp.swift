import Foundation

/// Times as Kubernetes writes them: RFC 3339 in UTC with whole seconds.
enum Timestamp {
    static func seconds(_ text: String) -> Int? {
        (try? Date(text, strategy: .iso8601)).map { Int($0.timeIntervalSince1970) }
    }

    static func now() -> String {
        Date.now.formatted(.iso8601)
    }
}
