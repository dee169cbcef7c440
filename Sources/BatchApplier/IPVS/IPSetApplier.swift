import CMnl
public import ProxyCore
import SystemPackage

/// Lists and changes the sets of the process's network namespace (ipset(8)).
///
/// Calls wait on a thread of their own.
public actor IPSetApplier {
    private let executor: BlockingExecutor
    private let options: NetlinkSocket.Options
    private var socket: NetlinkSocket?
    /// Nil before the kernel has said what it speaks, and after a failure.
    private var messages: IPSetMessages?

    nonisolated public var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameter timeout: how long an answer of the kernel is waited for.
    public init(timeout: Duration = .seconds(60)) {
        self.init(timeout: timeout, executor: BlockingExecutor(label: "switchyard.ipset-applier"))
    }

    /// - Parameter executor: of an actor that makes the calls, so that they change no thread.
    init(timeout: Duration = .seconds(60), executor: BlockingExecutor) {
        self.executor = executor
        options = .init(receiveBuffer: 1 << 20, timeout: timeout)
    }

    /// All sets, whoever made them, by their names.
    public func headers() throws(IPVSError) -> [String: IPSetHeader] {
        try read("list the sets") { $0.listHeaders() }.mapValues(\.header)
    }

    /// A set with its entries; nil where there is none of the name.
    public func list(_ name: String) throws(IPVSError) -> FoundIPSet? {
        do throws(IPVSError) {
            return try read("list the set \(name)") { $0.list(name) }[name]
        } catch  where error.errno == .noSuchFileOrDirectory {
            return nil
        }
    }

    /// Creates a set where there is none of the name. One with the same options is left as it is; one with others is an
    /// error of kind `refused`, but that newer kernels do not look at the family (6.18): `headers` tells it.
    public func create(_ name: String, _ kind: IPSet.Kind, _ family: IPFamily) throws(IPVSError) {
        try perform("create the set \(name) of type \(kind.rawValue)") { $0.create(name, kind, family) }
    }

    /// Adds entries, and returns those that were refused: the others are in the set, if they had been before or not.
    public func add(_ entries: [IPSetEntry], to name: String) throws(IPVSError) -> [IPVSFailure] {
        try change(IPSET_CMD_ADD, entries, of: name) { "add \($0.text) to the set \(name)" }
    }

    /// Deletes entries, and returns those that were refused: the others are not in the set, if they had been or not.
    public func delete(_ entries: [IPSetEntry], from name: String) throws(IPVSError) -> [IPVSFailure] {
        try change(IPSET_CMD_DEL, entries, of: name) { "delete \($0.text) from the set \(name)" }
    }

    /// Deletes all entries of a set.
    public func flush(_ name: String) throws(IPVSError) {
        try perform("flush the set \(name)") { $0.flush(name) }
    }

    /// Lets two sets of one type have each other's names: rules that use the one use the other from then on.
    public func swap(_ name: String, with other: String) throws(IPVSError) {
        try perform("swap the sets \(name) and \(other)") { $0.swap(name, with: other) }
    }

    /// Deletes a set. Refused where rules or other sets use it; nothing happens where it is not there.
    public func destroy(_ name: String) throws(IPVSError) {
        do throws(IPVSError) {
            try perform("destroy the set \(name)") { $0.destroy(name) }
        } catch  where error.errno == .noSuchFileOrDirectory {
            // Older kernels say so.
            return
        }
    }

    private func read(
        _ operation: String, _ request: (IPSetMessages) -> NetlinkBatch
    ) throws(IPVSError) -> [String: FoundIPSet] {
        try withSocket { messages, socket throws(NetlinkError) in
            var listing = IPSetListing()
            try socket.dump(request(messages), operation: operation) { listing.received($0) }
            return listing.sets
        }
    }

    private func perform(_ operation: String, _ request: (IPSetMessages) -> NetlinkBatch) throws(IPVSError) {
        try withSocket { messages, socket throws(NetlinkError) in
            for failure in try socket.perform(request(messages), operation: operation) { throw failure }
        }
    }

    private func change(
        _ command: ipset_cmd, _ entries: [IPSetEntry], of name: String, _ operation: (IPSetEntry) -> String
    ) throws(IPVSError) -> [IPVSFailure] {
        guard !entries.isEmpty else { return [] }
        return try withSocket { messages, socket throws(NetlinkError) in
            var failures: [IPVSFailure] = []
            var start = 0
            var size = IPSetMessages.entriesAtOnce
            while start < entries.count {
                let part = entries[start..<min(start + size, entries.count)]
                let request = messages.change(command, part, of: name)
                guard let error = try socket.perform(request, operation: "change the set \(name)").first else {
                    start = part.endIndex
                    size = min(2 * size, IPSetMessages.entriesAtOnce)
                    continue
                }
                guard let place = IPSetMessages.refusedEntry(error), place < part.count else { throw error }
                let refused = start + place
                failures.append(
                    IPVSFailure(index: refused, error: IPVSError(error, .sets, operation(entries[refused]))))
                // Those before it are done, and those after it not. They may fail too, as where the set is full, and
                // every message is sent back whole.
                start = refused + 1
                size = 1
            }
            return failures
        }
    }

    private func withSocket<Value>(
        _ body: (IPSetMessages, inout NetlinkSocket) throws(NetlinkError) -> Value
    ) throws(IPVSError) -> Value {
        do throws(NetlinkError) {
            return try NetlinkSocket.use(&socket, NETLINK_NETFILTER, options) { socket throws(NetlinkError) in
                let messages = if let known = self.messages { known } else { try IPSetMessages.find(&socket) }
                self.messages = messages
                return try body(messages, &socket)
            }
        } catch {
            messages = nil
            throw IPVSError(error, .sets)
        }
    }
}
