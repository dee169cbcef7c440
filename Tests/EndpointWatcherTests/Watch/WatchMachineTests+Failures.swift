import EndpointWatcher
import ProxyCore
import TestSupport
import Testing

extension WatchMachineTests {
    @Suite("Ends and failures")
    struct Failures {
        @Test("The server's end of a watch leads on from the last version at once, without a word")
        func normalEnd() throws {
            var test = try Case.watching()
            test.body(Case.event("MODIFIED", Case.service("a", 11)) + Case.bookmark(15))
            test.pass(.seconds(400))
            test.end()
            #expect(test.query == "watch=true&allowWatchBookmarks=true&resourceVersion=15")
            #expect(test.told == ["+a"])
        }

        @Test("A server that ends watches at once is asked ever more rarely, until one lasts")
        func instantEnds() throws {
            var test = try Case.watching()
            test.end()
            var delays: [Double] = []
            for _ in 0..<8 {
                test.head()
                test.end()
                delays.append(test.delay ?? 0)
                test.passDeadline()
            }
            #expect(test.told.isEmpty)
            for (delay, base) in zip(delays, [1.0, 2, 4, 8, 16, 20, 20, 20]) {
                #expect((base * 0.5..<base * 1.5).contains(delay))
            }
            test.head()
            test.pass(.seconds(31))
            test.end()
            #expect(test.query == Case.watchAfter10)
        }

        @Test("A version that has expired leads to a list at once, in every form", arguments: ["status", "event"])
        func expired(form: String) throws {
            var test = try Case.asking()
            if form == "status" {
                test.refuse(410)
            } else {
                test.head()
                test.body(Case.error(410))
            }
            #expect(test.query == Case.page)
            #expect(test.told.isEmpty)
            test.answer(Case.list([Case.service("b", 5)], version: 20))
            #expect(test.told == ["+b", "-a", "complete"])
        }

        @Test("An error event keeps the version only where the server is too busy", arguments: [429, 500, 503])
        func errorEvent(code: Int) throws {
            var test = try Case.watching()
            test.body(Case.error(code))
            #expect(test.delay != nil)
            test.passDeadline()
            #expect(test.query == (code == 500 ? Case.page : Case.watchAfter10))
        }

        @Test("Credentials that are refused are renewed and tried at once, and then after a while")
        func unauthorized() throws {
            var test = try Case()
            test.refuse(401)
            #expect(test.renewals == 1)
            #expect(test.query == Case.page)
            #expect(test.told.isEmpty)
            test.refuse(401, "Unauthorized")
            #expect(test.renewals == 2)
            #expect(test.delay != nil)
            #expect(test.told == ["? the list of /api/v1/services was answered with 401: Unauthorized"])
        }

        @Test("Refusals are told once and repeated ever more rarely", arguments: [403, 404, 429, 500, 503])
        func refusals(status: Int) throws {
            var test = try Case()
            var delays: [Double] = []
            for _ in 0..<6 {
                test.refuse(status)
                delays.append(test.delay ?? 0)
                test.passDeadline()
                #expect(test.query == Case.page)
            }
            #expect(test.told == ["? the list of /api/v1/services was answered with \(status): no"])
            for (delay, base) in zip(delays, [1.0, 2, 4, 8, 16, 20]) {
                #expect((base * 0.5..<base * 1.5).contains(delay))
            }
        }

        @Test("Retry-After is honoured up to a minute", arguments: [(5, 5.0), (3600, 60.0), (-3, 0.5)])
        func retryAfter(asked: Int, least: Double) throws {
            var test = try Case()
            test.refuse(429, retryAfter: asked)
            let delay = test.delay ?? 0
            #expect(delay >= least && delay <= max(least * 1.25, 1.5) + 0.01)
        }

        @Test("A watch that is broken off once is taken up without a word; twice, or without success, is told")
        func brokenWatch() throws {
            var test = try Case.watching()
            test.body(#"{"type":"ADDED","obj"#)
            test.fail("connection reset")
            #expect(test.told.isEmpty)
            #expect((0.5..<1.5).contains(test.delay ?? 0))
            test.passDeadline()
            #expect(test.query == Case.watchAfter10)
            test.fail("connection refused")
            #expect(test.told == ["? the watch of /api/v1/services failed: connection refused"])
            test.passDeadline()
            test.fail("connection refused")
            #expect(test.told.count == 1)
            test.passDeadline()
            test.head()
            test.body(Case.event("ADDED", Case.service("c", 12)))
            #expect(test.told.last == "+c")
            test.pass(.seconds(40))
            test.body(#"{"ty"#)
            // The connection's end within an event is not the server's.
            test.end()
            #expect(test.told.count == 2)
            test.passDeadline()
            test.head()
            test.fail("reset")
            #expect(test.told.last == "? the watch of /api/v1/services failed: reset")
        }

        @Test("After an interruption a bookmark says that nothing was missed")
        func resumed() throws {
            var test = try Case.watching()
            for _ in 0..<2 {
                test.fail()
                test.passDeadline()
            }
            #expect(test.told.count == 1)
            test.head()
            test.body(Case.bookmark(30))
            #expect(test.told.last == "complete")
            test.body(Case.bookmark(31))
            #expect(test.told.count == 2)
        }

        @Test("A watch that is silent is given up: after its time, and sooner where the server sends bookmarks")
        func silence() throws {
            var test = try Case.watching()
            guard case .request(let request) = test.step,
                let seconds = request.query.first(where: { $0.name == "timeoutSeconds" }).flatMap({ Int($0.value) })
            else { return }
            #expect((300..<600).contains(seconds))
            #expect(test.passDeadline() == .seconds(seconds + 30))
            #expect(test.query == Case.watchAfter10)
            test.head()
            test.pass(.seconds(10))
            test.body(Case.bookmark(12))
            #expect(test.passDeadline() == .seconds(180))
            #expect(test.query == "watch=true&allowWatchBookmarks=true&resourceVersion=12")
            #expect(test.told.isEmpty)
        }

        @Test("After an interruption a watch that lasts says so too, before any bookmark; one that breaks off does not")
        func settled() throws {
            var test = try Case.watching()
            for _ in 0..<2 {
                test.fail()
                test.passDeadline()
            }
            test.forget()
            test.head()
            test.pass(.seconds(4))
            test.fail()
            #expect(test.told.isEmpty)
            test.passDeadline()
            test.head()
            #expect(test.passDeadline() == .seconds(5))
            #expect(test.told == ["complete"])
            #expect(test.machine.deadline.map { $0 - test.now > .seconds(200) } == true)
            test.body(Case.event("ADDED", Case.service("c", 12)))
            #expect(test.told.last == "+c")
        }

        @Test("A version that goes back leads to a list, which says what is gone", arguments: ["event", "bookmark"])
        func olderVersion(form: String) throws {
            var test = try Case.watching()
            test.body(form == "event" ? Case.event("ADDED", Case.service("c", 9)) : Case.bookmark(9))
            let sentence = "the watch of /api/v1/services has gone back from version 10 to 9"
            #expect(test.told == ["! \(sentence); all objects are listed anew"])
            test.passDeadline()
            #expect(test.query == Case.page)
            test.answer(Case.list([Case.service("b", 2)], version: 7))
            #expect(test.told.suffix(3) == ["+b", "-a", "complete"])
            #expect(test.query == "watch=true&allowWatchBookmarks=true&resourceVersion=7")
        }

        @Test("Versions that are no numbers are not compared")
        func opaqueVersion() throws {
            var test = try Case.watching()
            test.body(Case.event("ADDED", Case.service("c", 11)).replacing("\"11\"", with: "\"9z\""))
            #expect(test.told == ["+c"])
            test.end()
            #expect(test.query == "watch=true&allowWatchBookmarks=true&resourceVersion=9z")
        }

        @Test(
            "Watches that bring nothing, not even bookmarks, lead to a list where the server had sent some",
            arguments: [true, false])
        func barren(sendsBookmarks: Bool) throws {
            var test = try Case.watching()
            if sendsBookmarks { test.body(Case.bookmark(10)) }
            test.end()
            for _ in 0..<3 {
                #expect(test.query == Case.watchAfter10)
                test.head()
                test.pass(.seconds(61))
                test.fail("connection reset")
                test.passDeadline()
            }
            #expect(test.query == (sendsBookmarks ? Case.page : Case.watchAfter10))
        }

        @Test("A server that held the response up while updates were taken over is not silent")
        func heldUp() throws {
            var test = try Case()
            test.head()
            test.pass(.seconds(300))
            test.machine.wasHeldUp(until: test.now)
            #expect(test.passDeadline() == .seconds(60))
        }

        @Test("What a server says is told in one line of bounded length")
        func hostileMessage() throws {
            var test = try Case()
            test.refuse(500, String(repeating: #"\n"#, count: 5000))
            let reason = test.told.first ?? ""
            #expect(reason.count < 800 && !reason.contains("\n"))
        }

        @Test("A refusal whose body does not end is a refusal")
        func endlessRefusal() throws {
            var test = try Case()
            test.head(503)
            for _ in 0..<100 { test.body(String(repeating: "x", count: 1 << 16)) }
            test.passDeadline()
            #expect(test.told == ["? the list of /api/v1/services was answered with 503"])
        }

        @Test("The same seed gives the same waits, another gives others")
        func jitter() throws {
            let delays = try [UInt64(1), 1, 2].map { seed in
                var test = try Case(seed: seed)
                test.fail()
                return test.delay
            }
            #expect(delays[0] == delays[1])
            #expect(delays[0] != delays[2])
        }
    }
}
