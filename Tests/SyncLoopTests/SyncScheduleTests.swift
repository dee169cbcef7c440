import Testing

@testable import SyncLoop

@Suite("SyncSchedule")
struct SyncScheduleTests {
    private let start = ContinuousClock.now
    private var schedule = SyncSchedule(periods: .init(minSync: .seconds(1), sync: .seconds(30)))

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    /// A schedule that has done its first sync at second 0.
    private func running() -> SyncSchedule {
        var schedule = schedule
        schedule.becomeReady(at: at(-0.1))
        schedule.syncBegan()
        schedule.syncEnded(at: at(0), succeeded: true, jitter: 0.5)
        return schedule
    }

    @Test("nothing is synced before the objects are known, then at once")
    func waitsForObjects() {
        var schedule = schedule
        schedule.objectsChanged(at: at(0))
        #expect(!schedule.isSyncDue(at: at(100)))
        schedule.becomeReady(at: at(100))
        #expect(schedule.isSyncDue(at: at(100)))
        #expect(schedule.needsFullSync)
    }

    @Test("the first sync comes even if there is no object at all")
    func syncsNothing() {
        var schedule = schedule
        schedule.becomeReady(at: at(0))
        #expect(schedule.isSyncDue(at: at(0)))
    }

    @Test("changes within the least period are put together, and a change after it goes at once")
    func bounds() {
        var schedule = running()
        schedule.objectsChanged(at: at(0.2))
        #expect(!schedule.isSyncDue(at: at(0.9)))
        #expect(schedule.nextSync == at(1))
        #expect(schedule.isSyncDue(at: at(1)))
        schedule.syncBegan()
        schedule.syncEnded(at: at(1.1), succeeded: true, jitter: 0.5)
        #expect(schedule.nextSync == nil)
        schedule.objectsChanged(at: at(5))
        #expect(schedule.isSyncDue(at: at(5)))
    }

    @Test("a change during a sync asks for another one")
    func changeDuringSync() {
        var schedule = running()
        schedule.objectsChanged(at: at(2))
        schedule.syncBegan()
        schedule.objectsChanged(at: at(2.1))
        schedule.syncEnded(at: at(2.5), succeeded: true, jitter: 0.5)
        #expect(schedule.nextSync == at(3.5))
    }

    @Test("failures are repeated in full with pauses that double, up to the sync period")
    func backsOff() {
        var schedule = running()
        var now = 10.0
        var pauses: [Double] = []
        for _ in 0..<8 {
            schedule.objectsChanged(at: at(now))
            schedule.syncBegan()
            schedule.syncEnded(at: at(now), succeeded: false, jitter: 0.5)
            #expect(schedule.needsFullSync)
            let pause = ((schedule.nextSync ?? at(now)) - at(now)) / .seconds(1)
            pauses.append((pause * 100).rounded() / 100)
            now += pause
        }
        #expect(pauses == [1, 2, 4, 8, 16, 30, 30, 30])
        schedule.syncBegan()
        schedule.syncEnded(at: at(now), succeeded: true, jitter: 0.5)
        #expect(!schedule.needsFullSync)
        schedule.objectsChanged(at: at(now + 0.1))
        #expect(schedule.nextSync == at(now + 1))
    }

    @Test("a thousand failures in a row overflow nothing")
    func manyFailures() {
        var schedule = running()
        for _ in 0..<1000 { schedule.syncEnded(at: at(1), succeeded: false, jitter: 0.5) }
        #expect(schedule.nextSync == at(31))
    }

    @Test("a refused change is followed by a full sync at once, a second refusal is not")
    func startsOver() {
        var schedule = running()
        schedule.objectsChanged(at: at(5))
        schedule.syncBegan()
        schedule.syncEnded(at: at(5.1), succeeded: false, jitter: 0.5)
        schedule.writeEverythingNow(at: at(5.1))
        #expect(schedule.isSyncDue(at: at(5.1)))
        schedule.syncBegan()
        schedule.syncEnded(at: at(5.2), succeeded: false, jitter: 0.5)
        schedule.writeEverythingNow(at: at(5.2))
        #expect(!schedule.isSyncDue(at: at(5.3)))
    }

    @Test("a check comes each period, less often where it is dear, and never later than after an hour")
    func checks() {
        var schedule = running()
        #expect(schedule.nextCheck == at(30))
        schedule.checkEnded(at: at(30), took: .milliseconds(100), foundDamage: false)
        #expect(schedule.nextCheck == at(60))
        schedule.checkEnded(at: at(60), took: .seconds(3), foundDamage: false)
        #expect(schedule.nextCheck == at(210))
        schedule.checkEnded(at: at(300), took: .seconds(1000), foundDamage: false)
        #expect(schedule.nextCheck == at(3900))
    }

    @Test("a change does not put the next check off")
    func checksBesideChanges() {
        var schedule = running()
        schedule.objectsChanged(at: at(20))
        schedule.syncBegan()
        schedule.syncEnded(at: at(21), succeeded: true, jitter: 0.5)
        #expect(schedule.nextCheck == at(30))
    }
}

@Suite("SyncSchedule, damage")
struct SyncScheduleDamageTests {
    private let start = ContinuousClock.now

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    private func running() -> SyncSchedule {
        var schedule = SyncSchedule(periods: .init(minSync: .seconds(10), sync: .seconds(30)))
        schedule.becomeReady(at: at(-1))
        sync(&schedule, 0)
        return schedule
    }

    private func found(_ schedule: inout SyncSchedule, _ second: Double, byCheck: Bool) -> Bool {
        schedule.damageFound(at: at(second), byCheck: byCheck)
    }

    private func sync(_ schedule: inout SyncSchedule, _ second: Double) {
        schedule.syncBegan()
        schedule.syncEnded(at: at(second), succeeded: true, jitter: 0.5)
    }

    @Test("damage is mended at once and in full, whatever the least period is")
    func mendsAtOnce() {
        var schedule = running()
        #expect(found(&schedule, 1, byCheck: false))
        #expect(schedule.isSyncDue(at: at(1)))
        #expect(schedule.needsFullSync)
    }

    @Test("damage that is undone twice in a row is mended by checks only, until one finds peace")
    func contested() {
        var schedule = running()
        #expect(found(&schedule, 1, byCheck: false))
        sync(&schedule, 2)
        #expect(found(&schedule, 3, byCheck: false))
        sync(&schedule, 4)
        #expect(schedule.contestedSince == nil)
        #expect(!found(&schedule, 5, byCheck: false))
        #expect(schedule.contestedSince == at(5))
        #expect(!schedule.isSyncDue(at: at(5)))
        let check = schedule.nextCheck
        schedule.hastenCheck(at: at(6))
        #expect(schedule.nextCheck == check)
        // The check mends.
        #expect(found(&schedule, 30, byCheck: true))
        sync(&schedule, 31)
        #expect(!found(&schedule, 32, byCheck: false))
        #expect(schedule.contestedSince == at(5))
        #expect(found(&schedule, 60, byCheck: true))
        sync(&schedule, 61)
        schedule.checkEnded(at: at(90), took: .zero, foundDamage: false)
        #expect(schedule.contestedSince == nil)
        #expect(found(&schedule, 91, byCheck: false))
    }

    @Test("the same damage seen twice before it is mended is one damage")
    func sameDamage() {
        var schedule = running()
        #expect(found(&schedule, 1, byCheck: false))
        #expect(found(&schedule, 1.5, byCheck: false))
        #expect(found(&schedule, 1.8, byCheck: true))
        sync(&schedule, 2)
        #expect(found(&schedule, 3, byCheck: false))
        #expect(schedule.contestedSince == nil)
    }

    @Test("damage long after a mending is no quarrel")
    func longAfter() {
        var schedule = running()
        for second in stride(from: 0.0, to: 1000, by: 100) {
            #expect(found(&schedule, second, byCheck: false))
            sync(&schedule, second + 1)
        }
        #expect(schedule.contestedSince == nil)
    }

    @Test("while the kernel refuses, damage does not shorten the pauses")
    func refusing() {
        var schedule = running()
        schedule.objectsChanged(at: at(20))
        schedule.syncBegan()
        schedule.syncEnded(at: at(20), succeeded: false, jitter: 0.5)
        #expect(found(&schedule, 20.5, byCheck: false))
        #expect(!schedule.isSyncDue(at: at(21)))
        #expect(schedule.isSyncDue(at: at(30)))
    }
}
