import EndpointWatcher
import KubernetesAPI
import ProxyCore
import TestSupport
import Testing

/// A recording and what comes before it.
struct CutCase: CustomTestStringConvertible, Sendable {
    var name: String
    var kind: ObjectKind
    var streams = false
    /// The list that a watch follows.
    var list: String?

    var testDescription: String { name }

    static let all: [CutCase] =
        ["json", "pb"].flatMap { encoding in
            [
                CutCase(name: "services-list.\(encoding)", kind: .service),
                CutCase(name: "endpointslices-list.\(encoding)", kind: .endpointSlice),
                CutCase(name: "node-list.\(encoding)", kind: .node),
                CutCase(name: "servicecidrs-list.\(encoding)", kind: .serviceCIDR),
                CutCase(name: "services-watch.\(encoding)", kind: .service, list: "services-list.\(encoding)"),
                CutCase(name: "endpointslices-watch-initial.\(encoding)", kind: .endpointSlice, streams: true),
            ]
        } + [
            CutCase(name: "endpointslices-list-page1.json", kind: .endpointSlice),
            CutCase(name: "endpointslices-list-page2.json", kind: .endpointSlice),
            CutCase(name: "watch-short-timeout.json", kind: .service, list: "services-list.json"),
            CutCase(name: "watch-expired.json", kind: .service, list: "services-list.json"),
            CutCase(name: "list-expired.json", kind: .service), CutCase(name: "error-401.json", kind: .service),
            CutCase(name: "error-403.json", kind: .service), CutCase(name: "error-404.json", kind: .service),
        ]

    /// A machine that has the head of the recording and waits for its body.
    func prepared(_ recording: RecordedResponse) throws -> Replay {
        var replay = try Replay(kind, streams: streams)
        if let list { try replay.play(list) }
        replay.forgetUpdates()
        replay.receiveHead(recording)
        return replay
    }
}

@Suite("Recordings, cut and mutated")
struct CutTests {
    @Test("A recording cut anywhere gives the same updates as in one piece", arguments: CutCase.all)
    func cut(_ test: CutCase) async throws {
        let recording = try #require(RecordedResponse(test.name))
        let prepared = try test.prepared(recording)
        var whole = prepared
        whole.receive(recording.body)
        whole.end()
        #expect(!whole.updates.isEmpty || test.name.contains("expired") || test.name == "error-401.json")

        var single = prepared
        for byte in recording.body { single.receive([byte]) }
        single.end()
        #expect(single.updates == whole.updates)
        #expect(single.step == whole.step)

        // The longest recording repeats what another has: not all of its places are needed.
        let stride = recording.body.count > 5000 ? 7 : 1
        var beginning = prepared
        for index in 0...recording.body.count {
            defer { if index < recording.body.count { beginning.receive([recording.body[index]]) } }
            guard index.isMultiple(of: stride) else { continue }
            // Tests that wait for a clock run beside this one.
            if index.isMultiple(of: 64) { await Task.yield() }
            var halves = beginning
            halves.receive(recording.body[index...])
            halves.end()
            guard halves.updates == whole.updates, halves.step == whole.step, halves.diagnostics == whole.diagnostics
            else {
                Issue.record("\(test.name) cut at \(index) differs")
                return
            }
        }
    }

    @Test(
        "A recording that breaks off anywhere deletes nothing that it does not say is deleted", arguments: CutCase.all)
    func brokenOff(_ test: CutCase) async throws {
        let recording = try #require(RecordedResponse(test.name))
        let prepared = try test.prepared(recording)
        var whole = prepared
        whole.receive(recording.body)
        whole.end()
        var beginning = prepared
        for index in 0..<recording.body.count {
            if index.isMultiple(of: 64) { await Task.yield() }
            var part = beginning
            part.end()
            beginning.receive([recording.body[index]])
            // What was reported is a beginning of what the whole reports, and then at most that it broke off.
            let told = part.updates.filter { if case .interrupted = $0 { false } else { true } }
            guard whole.updates.starts(with: told) else {
                Issue.record("\(test.name) broken off at \(index) reports what the whole does not")
                return
            }
        }
    }

    /// What a mutated stream may claim is not bounded, as a mutated name is a name. What holds: only what was reported
    /// is ever deleted, and the next sound list brings everything back to what is.
    @Test("Mutated recordings neither crash nor delete the unknown, and a sound list mends what they did")
    func mutated() async throws {
        var random = SeededGenerator(seed: 4)
        for test in CutCase.all where !test.name.contains("error") {
            let recording = try #require(RecordedResponse(test.name))
            var prepared = try Replay(test.kind, streams: test.streams)
            if let list = test.list { try prepared.play(list) }
            prepared.receiveHead(recording)
            for _ in 0..<100 {
                await Task.yield()
                var replay = prepared
                let bytes = Self.mutate(recording.body, &random)
                let cut = Int.random(in: 0...bytes.count, using: &random)
                replay.receive(bytes[..<cut])
                replay.receive(bytes[cut...])
                replay.end()
                var alive: Set<ObjectKey> = []
                for change in replay.changes {
                    guard change == change.key.deletion else {
                        alive.insert(change.key)
                        continue
                    }
                    #expect(alive.remove(change.key) != nil, "\(change) was never there")
                }
                try Self.expectMended(&replay, test.kind, alive)
            }
        }
    }

    private static func mutate(_ body: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = body
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[index] = UInt8.random(in: .min ... .max, using: &random)
            case 2: bytes.remove(at: index)
            case 3: bytes.insert(UInt8.random(in: .min ... .max, using: &random), at: index)
            default:
                let end = Int.random(in: index..<min(index + 40, bytes.count), using: &random)
                bytes.removeSubrange(index...end)
            }
        }
        return bytes
    }

    /// Lets the version expire and a sound list follow: what is reported in the end is what the list has.
    private static func expectMended(_ replay: inout Replay, _ kind: ObjectKind, _ before: Set<ObjectKey>) throws {
        let (name, count) =
            switch kind {
            case .service: ("services-list.json", 4)
            case .endpointSlice: ("endpointslices-list.json", 3)
            case .node: ("node-list.json", 1)
            case .serviceCIDR: ("servicecidrs-list.json", 1)
            }
        replay.machine = replay.machine.expectingPages(replay.now)
        replay.forgetUpdates()
        try replay.play(name)
        var alive = before
        for change in replay.changes {
            if change == change.key.deletion { alive.remove(change.key) } else { alive.insert(change.key) }
        }
        #expect(replay.updates.last == .complete(kind))
        #expect(alive.count == count)
    }
}

extension WatchMachine {
    /// The same machine, made to ask for a list in pages as a server makes it: by refusing streams, and versions.
    fileprivate func expectingPages(_ now: Instant) -> WatchMachine {
        var machine = self
        for _ in 0..<20 {
            var step = machine.deadline.map { machine.timeReached($0) } ?? []
            for _ in 0..<4 {
                guard case .request(let request) = step.last else { break }
                if request.query.contains(where: { $0.name == "limit" }),
                    !request.query.contains(where: { $0.name == "continue" })
                {
                    return machine
                }
                let status = request.query.contains { $0.name == "sendInitialEvents" } ? 400 : 410
                _ = machine.received(.head(APIResponseHead(status: status, contentType: "")), now)
                step = machine.ended(now)
            }
        }
        return machine
    }
}
