import EndpointWatcher
import ProxyCore
import TestSupport
import Testing

@Suite("WatchMachine")
struct WatchMachineTests {
    typealias Case = MachineCase

    @Suite("Lists")
    struct Lists {
        @Test(
            "A streaming list is asked for first, and pages for good where the server refuses it",
            arguments: [400, 422])
        func refusedStream(status: Int) throws {
            var test = try Case(streams: true)
            #expect(test.query == Case.stream)
            test.refuse(status)
            #expect(test.query == Case.page)
            #expect(test.told.isEmpty)
            test.answer(Case.list([Case.service("a", 3)], version: 10))
            #expect(test.told == ["+a", "complete"])
            #expect(test.query == Case.watchAfter10)
            test.refuse(410)
            #expect(test.query == Case.page)
        }

        @Test("Pages are used where streaming lists stall twice")
        func stalledStream() throws {
            var test = try Case(streams: true)
            for _ in 0..<2 {
                #expect(test.query == Case.stream)
                test.head()
                #expect(test.passDeadline() == .seconds(60))
                test.passDeadline()
            }
            #expect(test.query == Case.page)
        }

        @Test("A continue token that has expired starts the list over, and nothing is deleted before its end")
        func expiredToken() throws {
            var test = try Case.asking()
            test.refuse(410)
            test.pass(.seconds(1))
            #expect(test.query == Case.page)
            test.answer(Case.list([Case.service("c", 11)], version: 12, token: "next"))
            #expect(test.query == "limit=500&continue=next")
            #expect(test.told == ["+c"])
            test.refuse(410)
            // The second 410 in a row waits.
            test.passDeadline()
            #expect(test.query == Case.page)
            test.forget()
            test.answer(Case.list([Case.service("b", 4)], version: 13))
            #expect(test.told == ["+b", "-a", "-c", "complete"])
        }

        @Test("A list that breaks off deletes nothing")
        func brokenList() throws {
            var test = try Case.asking()
            test.refuse(410)
            test.head()
            test.body(#"{"metadata":{"resourceVersion":"20"},"items":[\#(Case.service("a", 15))"#)
            test.end()
            #expect(test.told.first == "+a")
            #expect(test.told.count == 2)
            #expect(test.told.last == "? the list of /api/v1/services broke off")
            #expect(test.delay != nil)
        }

        @Test("An item that cannot be decoded costs a diagnostic, and keeps the list from deleting what it lacks")
        func unreadableItem() throws {
            var test = try Case.asking()
            test.refuse(410)
            test.answer(Case.list([Case.service("a", 15), #"{"metadata":{"name":tru}}"#], version: 20))
            #expect(
                test.told == [
                    "+a", "! the list of /api/v1/services has a Service that cannot be decoded; it is left out",
                    "complete",
                ])
            test.refuse(410)
            test.forget()
            // The second in a row waits.
            test.passDeadline()
            #expect(test.query == Case.page)
            test.answer(Case.list([Case.service("a", 15)], version: 30))
            #expect(test.told.suffix(2) == ["-b", "complete"])
        }

        @Test("A list without a version, or one that continues with itself, is a failure")
        func endlessList() throws {
            var test = try Case()
            test.answer(#"{"metadata":{},"items":[]}"#)
            #expect(test.told == ["? the list of /api/v1/services has no resourceVersion"])
            test.passDeadline()
            test.answer(Case.list([], version: 10, token: "x"))
            test.answer(Case.list([], version: 10, token: "x"))
            #expect(test.delay != nil)
        }

        @Test("A kind that the server does not have is complete, and looked for again rarely")
        func missingKind() throws {
            var test = try Case(.serviceCIDR, streams: true)
            test.answer("404 page not found", status: 404)
            #expect(test.told == ["complete"])
            #expect((600..<900).contains(test.delay ?? 0))
            test.passDeadline()
            #expect(test.query == Case.stream)
        }

        @Test("A kind that was there is not taken for missing")
        func vanishedKind() throws {
            var test = try Case(.serviceCIDR)
            test.answer(
                #"{"metadata":{"resourceVersion":"10"},"items":[{"metadata":{"name":"kubernetes"},"spec":{"cidrs":["10.0.0.0/16"]}}]}"#
            )
            test.forget()
            test.refuse(404)
            #expect(test.told == ["? the watch of /apis/networking.k8s.io/v1/servicecidrs was answered with 404: no"])
        }

        @Test("A list that brings nothing for a minute has failed")
        func stall() throws {
            var test = try Case()
            test.head()
            test.pass(.seconds(59))
            test.body(#"{"metadata":{"#)
            #expect(test.passDeadline() == .seconds(60))
            #expect(test.told == ["? the list of /api/v1/services brought nothing for 60 seconds"])
        }

        @Test("Changes are delivered some hundreds together")
        func batches() throws {
            var test = try Case()
            test.answer(Case.list((0..<1100).map { Case.service("s\($0)", 1) }, version: 10))
            let sizes = test.updates.compactMap { if case .changes(let list, _) = $0 { list.count } else { nil } }
            #expect(sizes == [500, 500, 100])
        }
    }

    @Suite("Events")
    struct Events {
        @Test("A malformed event costs that object a diagnostic; the next connection lists, to find out what it was")
        func malformed() throws {
            var test = try Case.watching()
            test.body(#"{"type":"MODIFIED","object":{"kind":"Serv"# + "\n" + Case.event("ADDED", Case.service("c", 12)))
            #expect(
                test.told == [
                    "+c", "! the watch of /api/v1/services has a Service that cannot be decoded; it is left out",
                ])
            #expect(test.query == Case.watchAfter10)
            test.end()
            #expect(test.query == Case.page)
        }

        @Test("An event of another kind, or of no known type, is malformed")
        func otherKind() throws {
            var test = try Case.watching()
            let node = #"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n","resourceVersion":"11"}}"#
            test.body(Case.event("ADDED", node) + Case.event("MOVED", Case.service("c", 12)))
            #expect(test.told.count == 2 && test.told.allSatisfy { $0.hasPrefix("! ") })
        }

        @Test("An event that is too large is skipped to its end")
        func tooLarge() throws {
            var test = try Case.watching()
            let piece = String(repeating: "x", count: 1 << 20)
            test.body(#"{"type":"ADDED","object":{"kind":""#)
            for _ in 0..<17 { test.body(piece) }
            test.body(#""}}"# + "\n" + Case.event("ADDED", Case.service("c", 12)))
            #expect(test.told.count == 2)
            #expect(test.told.first == "+c")
            #expect(test.told.last?.contains("is larger than 16777216; it is left out") == true)
        }

        @Test("An object whose new version cannot be used is gone, with its fault; once for each version")
        func unusable() throws {
            var test = try Case.watching()
            let bad = Case.service("a", 11, spec: #""type":"Other""#)
            let sentence =
                "! Service default/a: spec.type: \"Other\" is not a known type of Service; the Service is left out"
            test.body(Case.event("MODIFIED", bad))
            #expect(test.told == ["-a", sentence])
            test.body(Case.event("MODIFIED", bad))
            #expect(test.told == ["-a", sentence])
            test.body(Case.event("MODIFIED", Case.service("a", 12, spec: #""type":"Other""#)))
            #expect(test.told == ["-a", sentence, sentence])
            test.body(Case.event("DELETED", Case.service("a", 12)))
            #expect(test.told.count == 3)
            test.body(Case.event("ADDED", Case.service("a", 13)))
            #expect(test.told.last == "+a")
        }

        @Test("A deletion needs a name only, and one of an object never reported says nothing")
        func deletion() throws {
            var test = try Case.watching()
            test.body(
                Case.event("DELETED", #"{"kind":"Service","metadata":{"name":"a","namespace":"default"},"spec":7}"#))
            test.body(Case.event("DELETED", Case.service("unknown", 12)))
            #expect(test.told == ["-a"])
        }

        @Test("What is no event at all ends the connection, and is asked for again after a while")
        func garbage() throws {
            var test = try Case.watching()
            test.body("<html>")
            #expect(test.told.isEmpty)
            #expect(test.delay != nil)
            test.passDeadline()
            #expect(test.query == Case.watchAfter10)
            test.body("ignored without a head")
            test.head(200, "text/html")
            #expect(
                test.told == [
                    "? the watch of /api/v1/services was answered with content type text/html, which is not understood"
                ])
        }

        @Test("Protobuf that comes although JSON was asked for is not understood")
        func unaskedProtobuf() throws {
            var test = try Case()
            guard case .request(let request) = test.step else { return }
            #expect(request.accept == "application/json")
            test.head(200, "application/vnd.kubernetes.protobuf")
            #expect(test.told.count == 1)
        }
    }
}
