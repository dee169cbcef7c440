/// What a server shall do wrong, and to which requests.
package struct Fault: Codable, Sendable {
    package enum Operation: String, Codable, Sendable { case list, watch }

    package enum Action: Codable, Sendable {
        /// A status instead of the answer; without a body the Status object that goes with it.
        case status(code: Int, body: String? = nil, retryAfter: Int? = nil)
        /// The request is read and never answered.
        case stall
        /// The answer stops after so many bytes of its body, and the connection stays open.
        case stallBody(afterBytes: Int)
        /// The connection is reset (RST) after so many bytes of the body.
        case reset(afterBytes: Int)
        /// So many bytes that are no HTTP instead of an answer, then the end of the connection.
        case garbage(bytes: Int)
        /// The body in pieces of so many bytes, each sent on its own, with pauses.
        case pieces(bytes: Int, pauseMilliseconds: Int)
        /// At most so many bytes of the body in a second.
        case rate(bytesPerSecond: Int)
        /// The first thing in the stream of a watch; lists are answered as ever.
        case event(StreamFault)
    }

    /// The plural name of a resource, or `version`; nil for all.
    package var resource: String?
    /// nil for both.
    package var operation: Operation?
    /// How many requests it meets; nil until it is cleared.
    package var count: Int?
    package var action: Action

    package init(
        _ action: Action, resource: String? = nil, operation: Operation? = nil, count: Int? = nil
    ) {
        self.action = action
        self.resource = resource
        self.operation = operation
        self.count = count
    }
}

/// What can go wrong in the stream of a watch.
package enum StreamFault: Codable, Sendable {
    /// An ERROR event of code 410, then the end.
    case expired
    /// An ERROR event of code 500, then the end.
    case internalError
    /// Something at an event's place that is neither JSON nor protobuf; the stream goes on.
    case malformed
    /// An ADDED event whose object has an annotation of so many bytes; the stream goes on.
    case large(bytes: Int)
    /// The server ends the stream in good order.
    case end
    /// The connection is reset (RST).
    case reset
    /// Nothing comes any more, bookmarks included.
    case stall
}

/// The faults that wait for requests.
struct FaultQueue: Sendable {
    private var faults: [Fault] = []

    mutating func add(_ fault: Fault) {
        faults.append(fault)
    }

    mutating func clear() {
        faults.removeAll()
    }

    /// The oldest fault that meets such a request, counted down.
    mutating func take(resource: String, operation: Fault.Operation) -> Fault.Action? {
        faults.removeAll { $0.count.map { $0 <= 0 } ?? false }
        let index = faults.firstIndex { fault in
            (fault.resource ?? resource) == resource && (fault.operation ?? operation) == operation
        }
        guard let index else { return nil }
        if let count = faults[index].count { faults[index].count = count - 1 }
        return faults[index].action
    }
}
