import ProxyCore

/// Drives one `WatchMachine`: sends its requests, hands in what comes of them, keeps its time.
actor WatchFollower {
    private enum Step {
        case request(APIRequest)
        case wait(until: ContinuousClock.Instant)
    }

    /// The connection was closed from here.
    private struct Closed: Error {}

    /// How often the deadline is asked for while a response is received, for it may move.
    private static let checkInterval = Duration.seconds(10)

    private var machine: WatchMachine
    private let transport: any APITransport
    private let clock: any WatchClock
    private let deliver: @Sendable (SourceUpdate) async -> Void
    /// True to stop at the first list that is complete, or the first failure.
    private let stopsAtEnd: Bool

    /// What follows the exchange at hand; nil while it goes on.
    private var next: Step?
    private var isPerforming = false
    private var end: SourceUpdate?

    init(
        _ machine: WatchMachine, transport: any APITransport, clock: any WatchClock, stopsAtEnd: Bool = false,
        deliver: @escaping @Sendable (SourceUpdate) async -> Void
    ) {
        self.machine = machine
        self.transport = transport
        self.clock = clock
        self.stopsAtEnd = stopsAtEnd
        self.deliver = deliver
    }

    /// Follows until the task is cancelled, or until the end of the first list. Returns the update that tells that
    /// end, a failure included.
    func run() async -> SourceUpdate? {
        await perform(machine.start(clock.now))
        while !Task.isCancelled, end == nil, let step = next {
            switch step {
            case .wait(let until):
                guard (try? await clock.sleep(until: until)) != nil else { return nil }
                await perform(machine.timeReached(clock.now))
            case .request(let request):
                next = nil
                await exchange(request)
            }
        }
        return end
    }

    private func perform(_ actions: [WatchMachine.Action]) async {
        // Known before anything is delivered, so that nothing more of the response is taken meanwhile.
        for action in actions {
            switch action {
            case .request(let request): next = .request(request)
            case .wait(let until): next = .wait(until: until)
            case .deliver, .renewCredentials: break
            }
        }
        isPerforming = true
        for action in actions {
            switch action {
            case .deliver(let update):
                await deliver(update)
                if stopsAtEnd, end == nil, update.isEnd { end = update }
            case .renewCredentials: await transport.credentialsWereRefused()
            case .request, .wait: break
            }
        }
        isPerforming = false
        machine.wasHeldUp(until: clock.now)
    }

    /// Sends a request and receives its response until it ends or the machine has something else to do.
    private func exchange(_ request: APIRequest) async {
        enum Outcome { case ended, failed(String), closed }
        let outcome = await withTaskGroup(of: Outcome.self) { group in
            group.addTask {
                do {
                    try await self.send(request)
                    return .ended
                } catch is Closed {
                    return .closed
                } catch {
                    return .failed(String(describing: error))
                }
            }
            group.addTask {
                await self.keepTime()
                return .closed
            }
            let first = await group.next() ?? .closed
            group.cancelAll()
            return first
        }
        guard next == nil, !Task.isCancelled else { return }
        switch outcome {
        case .ended: await perform(machine.ended(clock.now))
        case .failed(let reason): await perform(machine.failed(reason, clock.now))
        case .closed: break
        }
    }

    private nonisolated func send(_ request: APIRequest) async throws {
        try await transport.get(request) { part in try await self.receive(part) }
    }

    private func receive(_ part: APIResponsePart) async throws {
        guard next == nil, end == nil else { throw Closed() }
        await perform(machine.received(part, clock.now))
        if next != nil || end != nil { throw Closed() }
    }

    /// Returns when the machine's deadline has passed, or the task is cancelled.
    private nonisolated func keepTime() async {
        while let deadline = await nextCheck, (try? await clock.sleep(until: deadline)) != nil {
            await check()
        }
    }

    /// Nil when the exchange is over.
    private var nextCheck: ContinuousClock.Instant? {
        guard next == nil, end == nil, let deadline = machine.deadline else { return nil }
        let latest = clock.now + Self.checkInterval
        // While an update is being taken over, nothing else is missed.
        return isPerforming ? latest : min(deadline, latest)
    }

    private func check() async {
        let now = clock.now
        guard next == nil, end == nil, !isPerforming, let deadline = machine.deadline, now >= deadline else { return }
        await perform(machine.timeReached(now))
    }
}

extension SourceUpdate {
    /// True where a list has come to its end, or has failed.
    fileprivate var isEnd: Bool {
        switch self {
        case .complete, .interrupted: true
        case .changes, .diagnostic: false
        }
    }
}
