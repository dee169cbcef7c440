import CMnl
import ProxyCore

/// Deletes entries of the table of connections, many in one datagram, over a socket of its own: the dump that finds
/// them goes on meanwhile.
struct ConntrackDeletion: ~Copyable {
    private let family: IPFamily
    private let atOnce: Int
    private var socket: NetlinkSocket
    private var batch = NetlinkBatch()
    private var deleted = 0
    private var failure: NetlinkError?

    /// - Parameter atOnce: how many go into one datagram.
    init(_ family: IPFamily, atOnce: Int) throws(NetlinkError) {
        self.family = family
        self.atOnce = atOnce
        socket = try NetlinkSocket(options: .init(receiveBuffer: 1 << 20))
    }

    /// Failures are kept for `finish`, so that a dump goes on: the entries after it can still be deleted.
    mutating func add(_ entry: ConntrackEntry) {
        ConntrackRequests.append(deletionOf: entry, family, to: &batch)
        if batch.count >= atOnce { send() }
    }

    /// Returns how many entries were deleted in all, after the last `send`.
    consuming func finish() throws(NetlinkError) -> Int {
        if let failure { throw failure }
        return deleted
    }

    /// Deletes what was added so far.
    mutating func send() {
        do throws(NetlinkError) {
            let failures = try socket.perform(batch, operation: "delete UDP connections")
            deleted += batch.count - failures.count
            // An entry that is not there has timed out, or a packet has made it anew.
            failure = failure ?? failures.first { !$0.isNotFound }
        } catch {
            failure = failure ?? error
        }
        batch = NetlinkBatch()
    }
}
