/// How long to wait before a request is repeated: about a second, doubled with each failure up to half a minute, and
/// spread so that many nodes do not ask at once.
struct Backoff: Sendable {
    /// How often in a row it has failed, or succeeded for a moment only.
    private(set) var failures = 0
    private var random: any RandomNumberGenerator & Sendable

    init(random: any RandomNumberGenerator & Sendable) {
        self.random = random
    }

    mutating func reset() {
        failures = 0
    }

    /// The wait after a failure. `retryAfter` is what the server asks for, in seconds; it is borne up to a minute.
    mutating func afterFailure(retryAfter: Int? = nil) -> Duration {
        let seconds = min(20, 1 << min(failures, 5))
        failures += 1
        let wait = Duration.milliseconds(integer(in: seconds * 500..<seconds * 1500))
        guard let retryAfter else { return wait }
        let asked = min(max(retryAfter, 0), 60) * 1000
        return max(wait, .milliseconds(integer(in: asked..<asked + asked / 4 + 1)))
    }

    /// The wait after something that is no failure: none the first time, and then as after failures.
    mutating func afterSuccess() -> Duration {
        guard failures > 0 else {
            failures = 1
            return .zero
        }
        failures -= 1
        let wait = afterFailure()
        failures += 1
        return wait
    }

    mutating func integer(in range: Range<Int>) -> Int {
        Int.random(in: range, using: &random)
    }
}
