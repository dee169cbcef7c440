/// A request to the API server: always a GET.
public struct APIRequest: Hashable, Sendable {
    /// From the root, such as `/api/v1/services`.
    public var path: String
    /// Names and values, not yet escaped, in the order in which they are sent.
    public var query: [(name: String, value: String)]
    /// The media types that are understood, best first.
    public var accept: String

    public init(path: String, query: [(name: String, value: String)] = [], accept: String) {
        self.path = path
        self.query = query
        self.accept = accept
    }

    public static func == (left: Self, right: Self) -> Bool {
        left.path == right.path && left.accept == right.accept
            && left.query.elementsEqual(right.query) { $0 == $1 }
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(path)
        hasher.combine(accept)
        for item in query {
            hasher.combine(item.name)
            hasher.combine(item.value)
        }
    }
}

/// The head of a response, with the headers that are read.
public struct APIResponseHead: Hashable, Sendable {
    public var status: Int
    /// The media type with its parameters, in lower case; empty if there is none.
    public var contentType: String
    /// `Retry-After` in seconds, as the server sent it; nil if there is none or it is a date.
    public var retryAfter: Int?

    public init(status: Int, contentType: String, retryAfter: Int? = nil) {
        self.status = status
        self.contentType = contentType
        self.retryAfter = retryAfter
    }
}

/// Sends requests to one API server. Knows TLS and credentials, and nothing of what is asked for.
public protocol APITransport: Sendable {
    /// Sends a request and calls `receive` with the head and then with each piece of the body as it arrives.
    ///
    /// The response's end is the return. `receive` may throw to close the connection early: that error is rethrown.
    /// Throws `APITransportError` where there is no response, or it breaks off. Cancelling the task closes the
    /// connection.
    func get(_ request: APIRequest, _ receive: (APIResponsePart) async throws -> Void) async throws

    /// The server has refused the credentials (401): the next request must not use them if newer ones can be had.
    func credentialsWereRefused() async
}

public enum APIResponsePart: Hashable, Sendable {
    case head(APIResponseHead)
    case body([UInt8])
}

/// Why there is no response, or only a part of one, as a sentence without a full stop.
public struct APITransportError: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String

    public init(_ description: String) {
        self.description = description
    }
}
