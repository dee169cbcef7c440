import ProxyCore

/// What one piece of a response brings, in order: changes together, what is said of them after them.
struct UpdateBatch {
    private let kind: ObjectKind
    private let receivedAt: ContinuousClock.Instant
    private var updates: [SourceUpdate] = []
    private var changes: [ObjectChange] = []
    private var diagnostics: [Diagnostic] = []

    init(_ kind: ObjectKind, receivedAt: ContinuousClock.Instant) {
        self.kind = kind
        self.receivedAt = receivedAt
    }

    mutating func add(_ change: ObjectChange) {
        changes.append(change)
        if changes.count >= WatchMachine.Limits.batch { flush() }
    }

    mutating func add(_ diagnostic: Diagnostic) {
        diagnostics.append(diagnostic)
    }

    mutating func complete() {
        flush()
        updates.append(.complete(kind))
    }

    mutating func finish() -> [SourceUpdate] {
        flush()
        return updates
    }

    private mutating func flush() {
        if !changes.isEmpty { updates.append(.changes(changes, receivedAt: receivedAt)) }
        updates += diagnostics.map { .diagnostic($0) }
        changes = []
        diagnostics = []
    }
}
