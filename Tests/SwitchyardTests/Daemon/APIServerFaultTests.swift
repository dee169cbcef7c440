import TestAPIServer
import TestSupport
import Testing

extension APIServerTests {
    /// What lasts until it is taken back.
    enum LastingFault: String, CaseIterable {
        case refusedConnections, serverError, forbidden, unauthorized, tooManyRequests, expired, garbage, resets

        var fault: Fault? {
            switch self {
            case .refusedConnections: nil
            case .serverError: Fault(.status(code: 500))
            case .forbidden: Fault(.status(code: 403))
            case .unauthorized: Fault(.status(code: 401))
            case .tooManyRequests: Fault(.status(code: 429, retryAfter: 1))
            case .expired: Fault(.status(code: 410))
            case .garbage: Fault(.garbage(bytes: 200))
            case .resets: Fault(.reset(afterBytes: 40))
            }
        }

        /// What the reason in the status says.
        var word: String {
            switch self {
            case .refusedConnections: "connection refused"
            case .serverError: "500"
            case .forbidden: "403"
            case .unauthorized: "401"
            case .tooManyRequests: "429"
            case .expired: "410"
            case .garbage: "not HTTP"
            case .resets: "reset"
            }
        }
    }

    @Test(
        "While the server fails the rules stay and the status says why; afterwards they follow",
        arguments: LastingFault.allCases)
    func lastingFault(_ fault: LastingFault) async throws {
        let lab = try await APIServerLab(Self.variant(of: fault, in: LastingFault.allCases))
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        if let fault = fault.fault { try await lab.server.fail(fault) }
        try await lab.server.send(fault == .refusedConnections ? .refuseConnections : .closeConnections)
        try await lab.changeObjects()
        #expect(await daemon.waitForInterruption().contains(fault.word))
        try await lab.expectRulesToHold(daemon)
        try await lab.server.send(fault == .refusedConnections ? .acceptConnections : .clearFaults)
        try await lab.expectRulesToFollow(daemon)
        await daemon.expectRecovery()
        // Not a daemon that was started anew.
        #expect(daemon.log.split(separator: "\n").count { $0.contains(" starting") } == 1)
        #expect(daemon.stop() == 0)
    }

    /// What happens to watches once, while objects change.
    enum WatchFault: String, CaseIterable {
        case expired, internalError, malformed, large, tooLarge, end, reset

        var fault: StreamFault {
            switch self {
            case .expired: .expired
            case .internalError: .internalError
            case .malformed: .malformed
            case .large: .large(bytes: 1 << 20)
            case .tooLarge: .large(bytes: 17 << 20)
            case .end: .end
            case .reset: .reset
            }
        }

        /// True if the watch goes on.
        var isPassedOver: Bool { [.malformed, .large, .tooLarge].contains(self) }
    }

    /// Where it depends on the encoding, in both.
    private static let watchFaults = WatchFault.allCases.map { ($0, false) } + [(.malformed, true), (.tooLarge, true)]

    @Test("What goes wrong in a watch costs no rule and no change", arguments: watchFaults)
    func watchFault(_ fault: WatchFault, isJSON: Bool) async throws {
        let lab = try await APIServerLab(
            Self.variant(of: fault, in: WatchFault.allCases), configuration: Self.configuration(isJSON: isJSON))
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        try await lab.server.send(.clearRequests)
        try await lab.server.send(.inject(fault: fault.fault, resource: fault.isPassedOver ? .services : nil))
        try await lab.expectRulesToHold(for: .seconds(1), daemon)
        try await lab.changeObjects()
        try await lab.expectRulesToFollow(daemon)
        await daemon.expectRecovery()
        let requests = try await lab.server.requests()
        #expect(requests.isEmpty == fault.isPassedOver)
        if [.malformed, .tooLarge].contains(fault) { #expect(daemon.log.contains("it is left out")) }
    }

    @Test(
        "A watch that breaks off or stalls within an event is taken up again, and the event is not lost",
        arguments: [true, false])
    func brokenEvent(isStalled: Bool) async throws {
        // No bookmark comes before the events.
        let lab = try await APIServerLab("legacy") { $0.bookmarkMilliseconds = 60_000 }
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        try await lab.cut(isStalled: isStalled, at: 150, .watch, count: 1)
        try await lab.server.send(.clearRequests)
        try await lab.server.send(.closeConnections)
        let isBack = try await lab.wait { try await lab.server.requests().count == 4 }
        #expect(isBack)
        try await lab.changeObjects()
        if isStalled {
            try await lab.expectRulesToHold(daemon)
            try await lab.server.send(.closeConnections)
        }
        try await lab.expectRulesToFollow(daemon)
        await daemon.expectRecovery()
    }

    @Test(
        "A list that breaks off or stalls in its middle removes nothing; one that is complete does",
        arguments: [(true, true), (false, true), (false, false)])
    func brokenList(isStalled: Bool, isStreamed: Bool) async throws {
        let lab = try await APIServerLab { if !isStreamed { $0.initialEvents = .refused(code: 422) } }
        let daemon = try lab.startDaemon()
        try await lab.expectRulesToFollow(daemon)
        // The watches are refused because of their versions, and the lists after that are cut.
        try await lab.server.fail(Fault(.event(.expired), resource: "services", operation: .watch, count: 1))
        try await lab.server.fail(Fault(.event(.expired), resource: "endpointslices", operation: .watch, count: 1))
        try await lab.cut(isStalled: isStalled, at: 250, isStreamed ? .watch : .list)
        try await lab.server.send(.refuseConnections)
        try await lab.delete(ServedObjects.service("spare", 3))
        try await lab.delete(ServedObjects.slice("spare", endpoints: []))
        try await lab.server.send(.clearRequests)
        try await lab.server.send(.acceptConnections)
        let areCut = try await lab.wait {
            let requests = try await lab.server.requests()
            return ["services", "endpointslices"].allSatisfy { name in requests.contains { $0.isList(of: name) } }
        }
        #expect(areCut)
        try await lab.expectRulesToHold(daemon)
        try await lab.server.send(.clearFaults)
        if isStalled { try await lab.server.send(.closeConnections) }
        try await lab.expectRulesToFollow(daemon)
        await daemon.expectRecovery()
    }
}
