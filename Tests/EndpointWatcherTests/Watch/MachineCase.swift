import EndpointWatcher
import ProxyCore
import TestSupport
import Testing

/// A machine, a clock that is moved by hand, and a server's answers as a test says them.
struct MachineCase {
    static let beginning = ContinuousClock.now

    var machine: WatchMachine
    var now = Self.beginning
    /// What was reported since the last look.
    private(set) var updates: [SourceUpdate] = []
    private(set) var step: WatchMachine.Action?
    private(set) var renewals = 0

    init(
        _ kind: ObjectKind = .service, streams: Bool = false, seed: UInt64 = 1,
        protobuf: (any WireDecoder)? = nil
    ) throws {
        let resource = try #require(APIResource.all(node: "node1").first { $0.kind == kind })
        machine = WatchMachine(
            resource, protobuf: protobuf, prefersStreams: streams, random: SeededGenerator(seed: seed))
        take(machine.start(now))
    }

    /// A machine that watches Services `a` and `b` after version 10, and has the head of the response.
    static func watching() throws -> MachineCase {
        var test = try asking()
        test.head()
        return test
    }

    /// A machine that has Services `a` and `b` and asks for the changes after version 10.
    static func asking() throws -> MachineCase {
        var test = try MachineCase()
        test.answer(list([service("a", 3), service("b", 4)], version: 10))
        test.forget()
        return test
    }

    // MARK: What the server does

    mutating func head(_ status: Int = 200, _ contentType: String = "application/json", retryAfter: Int? = nil) {
        let head = APIResponseHead(status: status, contentType: contentType, retryAfter: retryAfter)
        take(machine.received(.head(head), now))
    }

    mutating func body(_ text: String) { take(machine.received(.body(Array(text.utf8)), now)) }
    mutating func end() { take(machine.ended(now)) }
    mutating func fail(_ reason: String = "connection refused") { take(machine.failed(reason, now)) }

    /// A whole response.
    mutating func answer(_ text: String, status: Int = 200, retryAfter: Int? = nil) {
        head(status, retryAfter: retryAfter)
        body(text)
        end()
    }

    /// A response that is a Status.
    mutating func refuse(_ status: Int, _ message: String = "no", retryAfter: Int? = nil) {
        answer(#"{"kind":"Status","message":"\#(message)","code":\#(status)}"#, status: status, retryAfter: retryAfter)
    }

    mutating func pass(_ duration: Duration) { now += duration }

    /// Lets the wait, or the time that the response has, pass; returns how long that is.
    @discardableResult
    mutating func passDeadline() -> Duration {
        let deadline = machine.deadline ?? now
        let duration = deadline - now
        now = deadline
        take(machine.timeReached(now))
        return duration
    }

    // MARK: What the machine does

    /// The query of the request that is under way, without the selectors; nil while the machine waits.
    var query: String? {
        guard case .request(let request) = step else { return nil }
        return request.query.filter { !$0.name.hasSuffix("Selector") && $0.name != "timeoutSeconds" }
            .map { "\($0.name)=\($0.value)" }.joined(separator: "&")
    }

    /// The wait that the machine has asked for, in seconds; nil while it asks the server.
    var delay: Double? {
        guard case .wait(let until) = step else { return nil }
        return (until - now) / .seconds(1)
    }

    mutating func forget() { updates = [] }

    /// What was reported: `+a` and `-a` for changes, the rest in words.
    var told: [String] {
        updates.flatMap { update -> [String] in
            switch update {
            case .changes(let changes, _): changes.map(Self.word)
            case .complete: ["complete"]
            case .diagnostic(let diagnostic): ["! \(diagnostic.message)"]
            case .interrupted(_, let reason): ["? \(reason)"]
            }
        }
    }

    private static func word(_ change: ObjectChange) -> String {
        let sign = change == change.key.deletion ? "-" : "+"
        let name = change.key.description.split(whereSeparator: { $0 == " " || $0 == "/" }).last ?? ""
        return "\(sign)\(name)"
    }

    private mutating func take(_ actions: [WatchMachine.Action]) {
        for action in actions {
            switch action {
            case .deliver(let update): updates.append(update)
            case .renewCredentials: renewals += 1
            case .request, .wait: step = action
            }
        }
    }

    // MARK: What servers send

    static let watchAfter10 = "watch=true&allowWatchBookmarks=true&resourceVersion=10"
    static let page = "limit=500&resourceVersion=0"
    static let stream =
        "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion="

    static func service(_ name: String, _ version: Int, spec: String = #""clusterIP":"10.0.0.1""#) -> String {
        #"{"kind":"Service","apiVersion":"v1","metadata":{"name":"\#(name)","namespace":"default","resourceVersion":"\#(version)"},"spec":{\#(spec)}}"#
    }

    static func list(_ items: [String], version: Int, token: String = "") -> String {
        #"{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"\#(version)","continue":"\#(token)"},"items":[\#(items.joined(separator: ","))]}"#
    }

    static func event(_ type: String, _ object: String) -> String { #"{"type":"\#(type)","object":\#(object)}"# + "\n" }

    static func bookmark(_ version: Int, ends: Bool = false) -> String {
        let annotation = ends ? #","annotations":{"k8s.io/initial-events-end":"true"}"# : ""
        return event(
            "BOOKMARK",
            #"{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"\#(version)"\#(annotation)}}"#)
    }

    static func error(_ code: Int) -> String {
        event("ERROR", #"{"kind":"Status","status":"Failure","message":"gone bad","code":\#(code)}"#)
    }
}
