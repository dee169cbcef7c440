import Synchronization

/// What one watch has yet to send. Filled by whoever changes objects, emptied by the connection.
final class WatchQueue: Sendable {
    enum Item: Sendable {
        /// An object that was there before the watch.
        case initial(StoredObject)
        case change(ObjectChange)
        case bookmark(version: Int, endsInitialEvents: Bool)
        case fault(StreamFault)
        case refusal(Refusal)
        /// The end in good order.
        case end
    }

    let resource: APIResource
    /// Changes up to this version are not for this watch: it may lie ahead of the server's.
    let start: Int
    private let items = Mutex<[Item]>([])
    /// Tells the connection that the queue is no longer empty; called on any thread, and must not wait.
    private let wake: @Sendable () -> Void

    init(_ resource: APIResource, start: Int, wake: @escaping @Sendable () -> Void) {
        self.resource = resource
        self.start = start
        self.wake = wake
    }

    func append(_ new: [Item]) {
        guard !new.isEmpty else { return }
        let wasEmpty = items.withLock { items in
            let wasEmpty = items.isEmpty
            items += new
            return wasEmpty
        }
        if wasEmpty { wake() }
    }

    func takeAll() -> [Item] {
        items.withLock { items in
            let all = items
            items = []
            return all
        }
    }
}
