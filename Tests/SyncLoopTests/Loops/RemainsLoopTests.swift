import Synchronization
import Testing

@testable import SyncLoop

/// What other modes have left, by a script of what becomes of each attempt.
@Suite("Removal of what other modes have left")
struct RemainsLoopTests {
    private final class Attempts: Sendable {
        private let outcomes: Mutex<[[ModeRemains.Finding]]>
        private let made = Mutex(0)

        init(_ outcomes: [[ModeRemains.Finding]]) { self.outcomes = Mutex(outcomes) }

        var count: Int { made.withLock(\.self) }

        func next() -> [ModeRemains.Finding] {
            made.withLock { $0 += 1 }
            return outcomes.withLock { $0.isEmpty ? [] : $0.removeFirst() }
        }
    }

    private let log = LogKeeper()

    private func loop(_ rules: Attempts, _ servers: Attempts, period: Duration = .milliseconds(1)) -> RemainsLoop {
        RemainsLoop(
            removeRules: { rules.next() }, retireVirtualServers: { servers.next() }, period: period,
            logger: log.logger)
    }

    @Test("Rules go after the first commit of everything, and are not looked for again")
    func rules() async {
        let rules = Attempts([[.removed("a table")]])
        let loop = loop(rules, Attempts([]))
        await loop.committed(everything: false)
        #expect(rules.count == 0)
        for everything in [true, false, true] { await loop.committed(everything: everything) }
        #expect(rules.count == 1)
    }

    @Test("Rules that could not be removed are tried again with a later commit, and named until they are gone")
    func refusedRules() async throws {
        let rules = Attempts([[.failed("the lock is held")], [.failed("the lock is held")], [.removed("a table")]])
        let loop = loop(rules, Attempts([]))
        await loop.committed(everything: true)
        #expect(await loop.failures == ["the lock is held"])
        for count in 2...3 {
            try await Task.sleep(for: .milliseconds(20))
            await loop.committed(everything: false)
            #expect(rules.count == count)
        }
        #expect(await loop.failures == [])
        #expect(log.messages.count { $0.contains("the lock is held") } == 1)
        await loop.committed(everything: true)
        #expect(rules.count == 3)
    }

    @Test("Commits that follow one another do not wait for what cannot be removed")
    func pause() async {
        let rules = Attempts([[.failed("the lock is held")]])
        let loop = loop(rules, Attempts([]), period: .seconds(60))
        for _ in 0..<3 { await loop.committed(everything: true) }
        #expect(rules.count == 1)
    }

    @Test("Virtual servers are looked at until none is kept and none has failed")
    func servers() async {
        let servers = Attempts([
            [.failed("the kernel is busy")], [.kept("1 virtual server")], [.failed("the kernel is busy")],
            [.removed("1 virtual server")],
        ])
        let loop = loop(Attempts([]), servers)
        await loop.committed(everything: true)
        await loop.run()
        #expect(servers.count == 4)
        #expect(await loop.failures == [])
        #expect(log.messages.count { $0.contains("the kernel is busy") } == 2)
    }
}
