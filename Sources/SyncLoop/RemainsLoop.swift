import Logging
import ProxyCore

/// Takes away what other modes have left in a family, once the serving mode's rules are in place.
struct RemainsLoop: Sendable {
    private let family: IPFamily
    private let remains: ModeRemains
    private let logger: Logger
    private let isServing = Signal()

    init(_ family: IPFamily, _ remains: ModeRemains, logger: Logger) {
        self.family = family
        self.remains = remains
        self.logger = logger
    }

    /// Removes the rules of other modes, and lets `run` do the rest.
    func takeOver() async {
        for finding in await remains.removeRules(family) { log(finding) }
        isServing.raise()
    }

    /// Waits until other rules serve, and then removes the virtual servers of ipvs mode as their connections end. Looks
    /// from time to time for as long as some are open, and beside the sync loop, which does not wait for it.
    func run() async {
        await isServing.wait()
        var kept: String?
        while !Task.isCancelled {
            var isDone = true
            for finding in await remains.retireVirtualServers(family) {
                guard case .kept(let what) = finding else {
                    log(finding)
                    continue
                }
                isDone = false
                if kept != what { log(finding) }
                kept = what
            }
            if isDone { return }
            try? await Task.sleep(for: Self.period)
        }
    }

    private func log(_ finding: ModeRemains.Finding) {
        switch finding {
        case .removed(let what): logger.notice("what another mode has left is removed: \(what)")
        case .kept(let what): logger.notice("some of what ipvs mode has left stays for now: \(what)")
        case .failed(let why): logger.warning("what another mode has left could not be removed: \(why)")
        }
    }

    private static let period = Duration.seconds(60)
}
