import EndpointWatcher
import ProxyCore
import Synchronization

/// A server whose answers a test says, request by request.
final class ScriptedTransport: APITransport {
    enum Part: Sendable {
        case head(Int)
        case body(String)
        /// The connection is left open until it is closed from here.
        case hang
        case fail(String)
    }

    private let answer: @Sendable (APIRequest, Int) -> [Part]
    private let state = Mutex<(requests: [APIRequest], renewals: Int)>(([], 0))

    /// `answer` is asked with the request and how many of the same path came before it.
    init(_ answer: @escaping @Sendable (APIRequest, Int) -> [Part]) {
        self.answer = answer
    }

    var requests: [APIRequest] { state.withLock { $0.requests } }
    var renewals: Int { state.withLock { $0.renewals } }

    func get(_ request: APIRequest, _ receive: (APIResponsePart) async throws -> Void) async throws {
        let earlier = state.withLock { state in
            state.requests.append(request)
            return state.requests.count { $0.path == request.path } - 1
        }
        for part in answer(request, earlier) {
            switch part {
            case .head(let status):
                try await receive(.head(APIResponseHead(status: status, contentType: "application/json")))
            case .body(let text): try await receive(.body(Array(text.utf8)))
            case .hang: try await Task.sleep(for: .seconds(3600))
            case .fail(let reason): throw APITransportError(reason)
            }
        }
    }

    func credentialsWereRefused() async { state.withLock { $0.renewals += 1 } }
}

/// A clock that stands still until a test moves it.
final class ManualClock: WatchClock {
    private struct State {
        var now = ContinuousClock.now
        var sleepers: [Int: (deadline: ContinuousClock.Instant, continuation: CheckedContinuation<Void, any Error>)] =
            [:]
        var count = 0
    }

    private let state = Mutex(State())

    var now: ContinuousClock.Instant { state.withLock { $0.now } }

    func advance(by duration: Duration) {
        state.withLock { state in
            state.now += duration
            for (id, sleeper) in state.sleepers where sleeper.deadline <= state.now {
                state.sleepers[id] = nil
                sleeper.continuation.resume()
            }
        }
    }

    func sleep(until deadline: ContinuousClock.Instant) async throws {
        let id = state.withLock { state in
            state.count += 1
            return state.count
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                state.withLock { state in
                    if Task.isCancelled {
                        continuation.resume(throwing: CancellationError())
                    } else if deadline <= state.now {
                        continuation.resume()
                    } else {
                        state.sleepers[id] = (deadline, continuation)
                    }
                }
            }
        } onCancel: {
            state.withLock { $0.sleepers.removeValue(forKey: id)?.continuation.resume(throwing: CancellationError()) }
        }
    }
}
