/// Tells when a folder that changes can be read: once nothing has moved in it for a moment.
///
/// A file that is written in place is half written for a while, and one that is renamed is gone before it is back.
struct FolderSettling {
    enum Verdict: Hashable {
        /// As it was when it was last read.
        case unchanged
        case changing
        /// To be read.
        case settled
        /// To be read though it may still change: it has been changing for too long to wait.
        case overdue
    }

    /// How long nothing may move.
    var quiet = Duration.milliseconds(200)
    /// How long is waited for that at most.
    var patience = Duration.seconds(1)

    /// What was seen when the folder was last read.
    private(set) var taken: FolderListing?
    private var candidate: (listing: FolderListing, since: ContinuousClock.Instant)?
    private var changingSince: ContinuousClock.Instant?

    mutating func saw(_ listing: FolderListing, at now: ContinuousClock.Instant) -> Verdict {
        guard listing != taken else {
            candidate = nil
            changingSince = nil
            return .unchanged
        }
        let start = changingSince ?? now
        changingSince = start
        if candidate?.listing != listing { candidate = (listing, now) }
        let isQuiet = candidate.map { now - $0.since >= quiet } ?? false
        guard isQuiet || now - start >= patience else { return .changing }
        taken = listing
        candidate = nil
        changingSince = nil
        return isQuiet ? .settled : .overdue
    }

    /// Has the next look find a file changed: it could not be read as it was seen.
    mutating func forget(_ name: String) {
        taken?.entries[name] = nil
    }
}
