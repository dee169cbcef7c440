import ProxyCore

/// What a kernel has of ours, as far as is known: what batches have put there, and what was found there before.
struct KernelMirror {
    typealias Instant = ContinuousClock.Instant

    /// Numbers of connections mean nothing in it.
    var state = IPVSKernelState()
    /// False until a batch of everything is committed.
    var isSettled = false
    /// Nil where they are to be written whatever they are.
    var rules: IPTablesBatch?
    var draining: [VirtualServer.Key: [RealServer: Drain]] = [:]
    /// Virtual servers that were ours when a failure left it unknown what there is.
    private(set) var formerServers: Set<VirtualServer.Key> = []
    /// What the kernel did not do the last time: it is tried again with every batch.
    var refusals: [IPVSRefusal] = []

    /// A real server of TCP that gets no new connections and waits for the end of those that it has.
    struct Drain {
        /// When it was given weight 0, or found with it.
        var since: Instant
        /// As it was seen last.
        var isIdle: Bool
    }

    /// What is there is not known any more, but for what was begun.
    mutating func forget() {
        let servers = formerServers.union(state.servers.keys)
        self = KernelMirror(draining: draining, formerServers: servers)
    }

    /// Takes over what one virtual server was found to be; nil where it is not there.
    mutating func found(_ server: FoundVirtualServer?, _ key: VirtualServer.Key, at now: Instant) {
        state.servers[key] = server
        let before = draining.removeValue(forKey: key)
        guard let server, key.protocol == .tcp else { return }
        for (realServer, found) in server.realServers where found.weight == 0 {
            let since = before?[realServer]?.since ?? now
            draining[key, default: [:]][realServer] = Drain(since: since, isIdle: found.isIdle)
        }
    }

    mutating func forgetDrain(of server: RealServer, _ key: VirtualServer.Key) {
        guard draining[key]?.removeValue(forKey: server) != nil else { return }
        if draining[key]?.isEmpty == true { draining[key] = nil }
    }
}
