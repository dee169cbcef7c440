import Logging

/// Takes away what other modes have left in a family, once the serving mode's rules are in place.
actor RemainsLoop {
    typealias Removal = @Sendable () async -> [ModeRemains.Finding]

    private let removeRules: Removal
    private let retireVirtualServers: Removal
    private let period: Duration
    /// How long the rules that could not be removed are left alone. It doubles up to an hour: reading what there is takes
    /// seconds in a large cluster, and the commit waits for it.
    private var pause: Duration
    private let logger: Logger
    private let isServing = Signal()
    /// Nil before rules were removed for the first time.
    private var nextAttempt: ContinuousClock.Instant?
    private var hasRules = true
    private var failuresOfRules: [String] = []
    private var failuresOfServers: [String] = []

    /// - Parameters:
    ///   - removeRules: takes away the rules of other modes.
    ///   - retireVirtualServers: takes away what ipvs mode has left beside them, as far as no connection is open.
    ///   - period: after which what could not be done is tried again.
    init(
        removeRules: @escaping Removal, retireVirtualServers: @escaping Removal, period: Duration = .seconds(60),
        logger: Logger
    ) {
        self.removeRules = removeRules
        self.retireVirtualServers = retireVirtualServers
        self.period = period
        pause = period
        self.logger = logger
    }

    /// What could not be removed and is tried again, a sentence for each.
    var failures: [String] { failuresOfRules + failuresOfServers }

    /// Removes the rules of other modes after the first commit of everything, and lets `run` do the rest. What fails is
    /// tried again with a later commit: as long as nothing changes the old rules do what the new ones do.
    func committed(everything: Bool) async {
        guard hasRules, nextAttempt.map({ $0 <= .now }) ?? everything else { return }
        failuresOfRules = tell(of: await removeRules(), known: failuresOfRules)
        hasRules = !failuresOfRules.isEmpty
        nextAttempt = .now + pause
        pause = min(pause * 2, .seconds(3600))
        isServing.raise()
    }

    /// Waits until other rules serve, and then removes the virtual servers of ipvs mode as their connections end. Looks
    /// from time to time for as long as some are open, and beside the sync loop, which does not wait for it.
    func run() async {
        await isServing.wait()
        var kept: String?
        while !Task.isCancelled {
            let findings = await retireVirtualServers()
            failuresOfServers = tell(of: findings, known: failuresOfServers)
            var isDone = failuresOfServers.isEmpty
            for case .kept(let what) in findings {
                isDone = false
                if kept != what { logger.notice("some of what ipvs mode has left stays for now: \(what)") }
                kept = what
            }
            if isDone { return }
            try? await Task.sleep(for: period)
        }
    }

    /// Logs what was removed, and what failed where it is not known yet. Returns what failed.
    private func tell(of findings: [ModeRemains.Finding], known: [String]) -> [String] {
        var failures: [String] = []
        for finding in findings {
            switch finding {
            case .removed(let what): logger.notice("what another mode has left is removed: \(what)")
            case .kept: break
            case .failed(let why):
                failures.append(why)
                // What the end of the daemon has cut off is no failure.
                guard !known.contains(why), !Task.isCancelled else { continue }
                logger.warning("what another mode has left could not be removed: \(why)")
            }
        }
        return failures
    }
}
