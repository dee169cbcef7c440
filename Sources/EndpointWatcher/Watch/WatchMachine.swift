package import ProxyCore

/// The protocol of following one kind of objects: what to ask an API server for next, what to report of its answers.
///
/// It has no clock and does no I/O: whoever drives it performs the actions that each call returns, in their order.
/// Of these the last may be the next step, a request or a wait; a response that is still being received is closed
/// then, and what comes of it is not handed in any more.
///
/// A list is asked for first, as a stream where the server can, else in pages; then the changes after its version. What
/// is deleted is reported where the server says so, where a new version of an object cannot be used, and where a list
/// that has come to its end lacks it: never because of a failure.
package struct WatchMachine: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package enum Action: Hashable, Sendable {
        case deliver(SourceUpdate)
        /// The credentials were refused: use others if there are any.
        case renewCredentials
        /// Send a request, and hand in what comes of it.
        case request(APIRequest)
        /// Call `timeReached` then.
        case wait(until: Instant)
    }

    enum Purpose: Hashable {
        case streamingList
        case page(after: String?)
        case watch(after: String)
    }

    /// A request and what has come of it.
    struct Exchange {
        var purpose: Purpose
        var startedAt: Instant
        /// When the last bytes came, or the request was sent.
        var lastBytesAt: Instant
        /// How long the server was asked to go on, in seconds; 0 for a page.
        var seconds = 0
        /// The head of an answer that is no success, and the beginning of its body.
        var refusal: APIResponseHead?
        var refusalBody: [UInt8] = []
        /// Nil until there is an answer.
        var splitter: (any BodySplitter)?
        var isProtobuf = false
        /// The metadata of the page.
        var list: WireListMetadata?
        /// Since when the list is complete and changes are followed.
        var followingSince: Instant?
        /// True after an event or a bookmark that came while changes were followed.
        var hasNews = false

        var isList: Bool { if case .watch = purpose { false } else { true } }
    }

    let resource: APIResource
    private let json: any WireDecoder
    private let protobuf: (any WireDecoder)?

    var exchange: Exchange?
    private var waitingUntil: Instant?
    /// What the last list or event has brought us to; nil if a list is needed.
    var version: String?
    /// True after an event that could not be decoded: the next connection begins with a list, to find out what it was.
    var needsList = false
    var known = KnownObjects()
    /// True where the server refuses streaming lists, or does not bring them to an end.
    var usesPages: Bool
    private var stalledStreams = 0
    var sendsBookmarks = false
    var backoff: Backoff
    /// True after `interrupted`, until anything else of the kind was reported.
    var isInterrupted = false
    /// True if a watch broke off and this was not reported, as it may be the only time.
    private var hasBrokenOff = false
    /// True if a request was repeated at once lately.
    private var hasRetriedSoon = false
    /// How long watches have brought nothing at all, one after the other.
    private var barrenTime = Duration.zero

    /// `protobuf` is nil to ask for JSON only. Without `prefersStreams`, lists are asked for in pages.
    package init(
        _ resource: APIResource, json: any WireDecoder = JSONWireDecoder(), protobuf: (any WireDecoder)?,
        prefersStreams: Bool = true, random: any RandomNumberGenerator & Sendable
    ) {
        self.resource = resource
        self.json = json
        self.protobuf = protobuf
        usesPages = !prefersStreams
        backoff = Backoff(random: random)
    }

    package mutating func start(_ now: Instant) -> [Action] { [request(now)] }

    /// When `timeReached` must be called, as far as is known now; nil before the start.
    package var deadline: Instant? {
        guard let exchange else { return waitingUntil }
        guard exchange.followingSince != nil else { return exchange.lastBytesAt + Limits.stall }
        var end = exchange.startedAt + .seconds(exchange.seconds) + Limits.overtime
        if sendsBookmarks { end = min(end, exchange.lastBytesAt + Limits.silence) }
        if isInterrupted, let since = exchange.followingSince { end = min(end, since + Limits.settling) }
        return end
    }

    /// The time of the last wait, or the deadline, has come.
    package mutating func timeReached(_ now: Instant) -> [Action] {
        guard let deadline else { return [] }
        guard now >= deadline else { return exchange == nil ? [.wait(until: deadline)] : [] }
        guard let exchange else { return [request(now)] }
        if exchange.refusal != nil { return refused(now) }
        if exchange.followingSince != nil {
            guard !isInterrupted else {
                // The server has taken the watch up from where it was; the next bookmark may be a minute away.
                isInterrupted = false
                return [.deliver(.complete(resource.kind))]
            }
            return retrySoon("\(what) was silent for too long", now)
        }
        if exchange.purpose == .streamingList, exchange.splitter != nil {
            stalledStreams += 1
            if stalledStreams >= Limits.stalledStreams { usesPages = true }
        }
        return fail("\(what) brought nothing for \(Limits.stall.components.seconds) seconds", now)
    }

    /// Somebody who takes updates over has kept the response waiting until now: the server was not silent.
    package mutating func wasHeldUp(until now: Instant) {
        exchange?.lastBytesAt = now
    }

    // MARK: Requests

    /// The request that is needed now.
    mutating func request(_ now: Instant) -> Action {
        if needsList { version = nil }
        needsList = false
        if let version { return send(.watch(after: version), now) }
        known.beginList()
        return send(usesPages ? .page(after: nil) : .streamingList, now)
    }

    mutating func send(_ purpose: Purpose, _ now: Instant) -> Action {
        waitingUntil = nil
        var new = Exchange(purpose: purpose, startedAt: now, lastBytesAt: now)
        let accept = protobuf == nil ? MediaType.json : "\(MediaType.protobuf), \(MediaType.json)"
        switch purpose {
        case .page(let token):
            exchange = new
            return .request(resource.page(after: token, accept: accept))
        case .streamingList:
            new.seconds = backoff.integer(in: Limits.watchSeconds)
            exchange = new
            return .request(resource.streamingList(seconds: new.seconds, accept: accept))
        case .watch(let version):
            new.seconds = backoff.integer(in: Limits.watchSeconds)
            exchange = new
            return .request(resource.watch(after: version, seconds: new.seconds, accept: accept))
        }
    }

    /// Names the request in messages.
    var what: String {
        if let exchange, !exchange.isList || exchange.followingSince != nil {
            "the watch of \(resource.path)"
        } else {
            "the list of \(resource.path)"
        }
    }

    /// What decodes the body of the response, which was told by its content type.
    var decoder: any WireDecoder {
        if exchange?.isProtobuf == true, let protobuf { protobuf } else { json }
    }

    /// True for a content type that can be decoded; the response's own, not what was asked for.
    func understands(_ contentType: String) -> Bool {
        switch MediaType.name(of: contentType) {
        case MediaType.json: true
        case MediaType.protobuf: protobuf != nil
        default: false
        }
    }

    // MARK: What comes after an exchange

    /// The server has ended a watch in good order.
    mutating func ended(inOrderAt now: Instant) -> [Action] {
        noteHealth(now)
        return [wait(backoff.afterSuccess(), now)]
    }

    /// Something that a repeated request should mend: at once if nothing of the kind has happened lately.
    mutating func retrySoon(_ reason: String, _ now: Instant) -> [Action] {
        noteHealth(now)
        guard hasRetriedSoon else {
            hasRetriedSoon = true
            return [wait(.zero, now)]
        }
        return fail(reason, now)
    }

    /// Ends the exchange with a failure, which is reported unless it is the first that has broken a watch off.
    mutating func fail(_ reason: String, retryAfter: Int? = nil, _ now: Instant) -> [Action] {
        noteHealth(now)
        var actions: [Action] = []
        if exchange?.followingSince != nil, !hasBrokenOff {
            hasBrokenOff = true
        } else if !isInterrupted {
            isInterrupted = true
            actions.append(.deliver(.interrupted(resource.kind, reason: reason)))
        }
        actions.append(wait(backoff.afterFailure(retryAfter: retryAfter), now))
        return actions
    }

    mutating func wait(_ duration: Duration, _ now: Instant) -> Action {
        exchange = nil
        guard duration > .zero else { return request(now) }
        waitingUntil = now + duration
        return .wait(until: now + duration)
    }

    /// Changes that were followed for a while make up for earlier failures.
    private mutating func noteHealth(_ now: Instant) {
        guard let exchange, let since = exchange.followingSince else { return }
        barrenTime = exchange.hasNews ? .zero : barrenTime + (now - since)
        if sendsBookmarks, barrenTime >= Limits.silence {
            // A server whose state was put back to an earlier one accepts our version, which it has not reached yet,
            // and sends nothing until it has.
            needsList = true
            barrenTime = .zero
        }
        guard now - since >= Limits.healthySpell else { return }
        backoff.reset()
        hasBrokenOff = false
        hasRetriedSoon = false
        stalledStreams = 0
    }
}

extension WatchMachine {
    enum MediaType {
        static let json = "application/json"
        static let protobuf = "application/vnd.kubernetes.protobuf"

        /// The type without its parameters.
        static func name(of contentType: String) -> Substring {
            let name = contentType.prefix { $0 != ";" }
            return name.last == " " ? name.dropLast() : name
        }
    }

    enum Limits {
        /// How long a watch is asked to last, in seconds: different for each, so that a server's watches do not all
        /// end at once.
        static let watchSeconds = 300..<600
        /// How much longer than it was asked to a watch may last.
        static let overtime = Duration.seconds(30)
        /// How long a watch may bring nothing, once the server has sent a bookmark: it sends one about every minute.
        static let silence = Duration.seconds(180)
        /// How long a watch must last to end an interruption, if nothing else comes that does.
        static let settling = Duration.seconds(5)
        /// How long the head of a response, and each next part of a list, may take.
        static let stall = Duration.seconds(60)
        /// How long changes must be followed for earlier failures not to count any more.
        static let healthySpell = Duration.seconds(30)
        /// After how many streaming lists that stalled pages are used: some servers never send their end.
        static let stalledStreams = 2
        /// When to look again for a kind that the server does not have, in seconds.
        static let absenceSeconds = 600..<900
        /// How many changes are delivered together.
        static let batch = 500
    }
}
