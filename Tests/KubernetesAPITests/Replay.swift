import EndpointWatcher
import Foundation
import KubernetesAPI
import ProxyCore
import Synchronization
import TestSupport
import Testing

/// A machine that recordings are played to.
struct Replay {
    static let start = ContinuousClock.now

    /// Shared by all, as the same messages are decoded again and again.
    private static let json = CachingDecoder(JSONWireDecoder())
    private static let protobuf = CachingDecoder(ProtobufWireDecoder())

    var machine: WatchMachine
    var now = Self.start
    /// Everything that was reported, each change on its own; what is said of objects is apart, for it comes after the
    /// changes of its chunk.
    private(set) var updates: [SourceUpdate] = []
    private(set) var diagnostics: [Diagnostic] = []
    /// True while a response is received.
    private var isOpen = false
    /// The last request or wait.
    private(set) var step: WatchMachine.Action?

    init(_ kind: ObjectKind, streams: Bool) throws {
        let resource = try #require(APIResource.all(node: "node1").first { $0.kind == kind })
        machine = WatchMachine(
            resource, json: Self.json, protobuf: Self.protobuf, prefersStreams: streams,
            random: SeededGenerator(seed: 7))
        take(machine.start(now))
    }

    /// Plays a whole recording in one piece.
    mutating func play(_ name: String) throws {
        let recording = try #require(RecordedResponse(name))
        receiveHead(recording)
        receive(recording.body)
        end()
    }

    mutating func receiveHead(_ recording: RecordedResponse) {
        isOpen = true
        let head = APIResponseHead(status: recording.status, contentType: recording.contentType)
        take(machine.received(.head(head), now))
    }

    mutating func receive(_ bytes: some Collection<UInt8>) {
        take(machine.received(.body(Array(bytes)), now))
    }

    /// The response ends, unless the machine has closed it before.
    mutating func end() { if isOpen { take(machine.ended(now)) } }

    mutating func forgetUpdates() { (updates, diagnostics) = ([], []) }

    /// Only the objects' changes.
    var changes: [ObjectChange] {
        updates.flatMap { update -> [ObjectChange] in
            if case .changes(let changes, _) = update { changes } else { [] }
        }
    }

    private mutating func take(_ actions: [WatchMachine.Action]) {
        for action in actions {
            switch action {
            case .deliver(.changes(let changes, let instant)):
                updates += changes.map { .changes([$0], receivedAt: instant) }
            case .deliver(.diagnostic(let diagnostic)): diagnostics.append(diagnostic)
            case .deliver(let update): updates.append(update)
            case .request, .wait:
                step = action
                isOpen = false
            case .renewCredentials: break
            }
        }
    }
}

/// Decodes each message once.
private final class CachingDecoder: WireDecoder {
    private let decoder: any WireDecoder
    private let items = Mutex<[Data: WireObject?]>([:])
    private let events = Mutex<[Data: WireEvent?]>([:])

    init(_ decoder: any WireDecoder) {
        self.decoder = decoder
    }

    func item(_ message: ArraySlice<UInt8>, of kind: ObjectKind) throws -> WireObject {
        try items.withLock { Self.find(message, &$0) { try? decoder.item(message, of: kind) } }.get()
    }

    func event(_ message: ArraySlice<UInt8>, of kind: ObjectKind) throws -> WireEvent {
        try events.withLock { Self.find(message, &$0) { try? decoder.event(message, of: kind) } }.get()
    }

    func listMetadata(_ message: ArraySlice<UInt8>) throws -> WireListMetadata { try decoder.listMetadata(message) }

    func status(_ body: ArraySlice<UInt8>) throws -> WireStatus { try decoder.status(body) }

    private static func find<Value>(
        _ message: ArraySlice<UInt8>, _ cache: inout [Data: Value?], _ decode: () -> Value?
    ) -> Result<Value, UndecodableMessage> {
        let key = Data(message)
        let found = cache[key] ?? decode()
        cache[key] = found
        return found.map { .success($0) } ?? .failure(UndecodableMessage())
    }
}
