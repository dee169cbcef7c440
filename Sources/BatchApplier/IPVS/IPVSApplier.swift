import CMnl
public import ProxyCore
import SystemPackage

/// Lists and changes the virtual servers of the process's network namespace (IPVS, ipvsadm(8)).
///
/// Calls wait on a thread of their own. Virtual servers of a firewall mark are never seen and never touched.
public actor IPVSApplier {
    private let executor: BlockingExecutor
    private let options: NetlinkSocket.Options
    private var socket: NetlinkSocket?
    /// Nil before the kernel has said by which number it knows IPVS, and after a failure that another number explains:
    /// the module gets one each time it is loaded.
    private var messages: IPVSMessages?
    private var earliestCount = ContinuousClock.now

    nonisolated public var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameter timeout: how long an answer of the kernel is waited for.
    public init(timeout: Duration = .seconds(60)) {
        self.init(timeout: timeout, executor: BlockingExecutor(label: "switchyard.ipvs-applier"))
    }

    /// - Parameter executor: of an actor that makes the calls, so that they change no thread.
    init(timeout: Duration = .seconds(60), executor: BlockingExecutor) {
        self.executor = executor
        // Room for the answers to a datagram whose requests all fail.
        options = .init(receiveBuffer: Self.requestsAtOnce * 1024, sendBuffer: 4 << 20, timeout: timeout)
    }

    /// What goes into one datagram.
    private static let requestsAtOnce = 2000

    /// All virtual servers of a family with their real servers. Costs a question for each.
    ///
    /// Changes by others during the listing may or may not be in it. What nobody changes is in it.
    public func list(_ family: IPFamily) throws(IPVSError) -> [VirtualServer.Key: FoundVirtualServer] {
        try withSocket { messages, socket throws(NetlinkError) in
            var servers = try IPVSListing.whole { () throws(NetlinkError) in
                var servers: [VirtualServer.Key: FoundVirtualServer] = [:]
                try socket.dump(messages.listServers(), operation: "list the virtual servers") { message in
                    guard let (key, server) = IPVSListing.server(message), key.address.family == family else { return }
                    servers[key] = server
                }
                return servers
            }
            for key in servers.keys {
                servers[key]?.realServers = try Self.listRealServers(of: key, messages, &socket)
            }
            countOpen(&servers)
            return servers
        }
    }

    /// Some virtual servers with their real servers; without those that are not there.
    public func list(_ keys: Set<VirtualServer.Key>) throws(IPVSError) -> [VirtualServer.Key: FoundVirtualServer] {
        try withSocket { messages, socket throws(NetlinkError) in
            var servers: [VirtualServer.Key: FoundVirtualServer] = [:]
            for key in keys {
                do throws(NetlinkError) {
                    let answer = try socket.ask(messages.find(key), operation: "look at \(key.address)")
                    guard let (_, server) = IPVSListing.server(answer) else { continue }
                    servers[key] = server
                    servers[key]?.realServers = try Self.listRealServers(of: key, messages, &socket)
                } catch  where error.errno == .noSuchProcess {
                    continue
                }
            }
            countOpen(&servers)
            return servers
        }
    }

    private static func listRealServers(
        of key: VirtualServer.Key, _ messages: IPVSMessages, _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [RealServer: FoundRealServer] {
        var found: [RealServer: FoundRealServer] = [:]
        try socket.dump(messages.listRealServers(of: key), operation: "list the real servers of \(key.address)") {
            guard let (server, state) = IPVSListing.realServer($0, of: key.address.family) else { return }
            found[server] = state
        }
        return found
    }

    /// Counts the open connections to real servers that only wait for the end of some that are not established.
    private func countOpen(_ servers: inout [VirtualServer.Key: FoundVirtualServer]) {
        var waiting: [(VirtualServer.Key, RealServer)] = []
        for (key, server) in servers where key.protocol == .tcp {
            for (realServer, found) in server.realServers
            where found.weight == 0 && found.activeConnections == 0 && found.inactiveConnections > 0 {
                waiting.append((key, realServer))
            }
        }
        let start = ContinuousClock.now
        guard !waiting.isEmpty, start >= earliestCount else { return }
        var connections = IPVSConnections()
        // Where the table cannot be read they wait until the kernel has forgotten every connection.
        do throws(Errno) { try connections.read() } catch { return }
        // It may be long, and counting takes a fiftieth of the time at most.
        earliestCount = .now + (ContinuousClock.now - start) * 50
        for (key, server) in waiting {
            servers[key]?.realServers[server]?.openConnections = connections.open[key]?[server] ?? 0
        }
    }

    /// Makes changes in their order, and returns those that failed: the others are done.
    ///
    /// - Throws: it is not known which are done, but for kind `unsupported`, where none is.
    public func perform(_ changes: [IPVSChange]) throws(IPVSError) -> [IPVSFailure] {
        guard !changes.isEmpty else { return [] }
        return try withSocket { messages, socket throws(NetlinkError) in
            var failures: [IPVSFailure] = []
            var places = Array(changes.indices)
            if let first = places.first(where: { changes[$0].scheduler != nil }) {
                // The kernel looks for the module of a scheduler that it lacks at every virtual server anew, which takes
                // milliseconds each: the first is tried alone. No change before it is about its virtual server.
                places.remove(at: first)
                failures = try perform(changes, at: [first], messages, &socket)
                if let lacking = failures.first, lacking.error.kind == .unsupported {
                    failures += changes.lacking(like: lacking, &places)
                }
            }
            for start in stride(from: 0, to: places.count, by: Self.requestsAtOnce) {
                let part = places[start..<min(start + Self.requestsAtOnce, places.count)]
                failures += try perform(changes, at: part, messages, &socket)
            }
            return failures
        }
    }

    /// One datagram.
    private func perform(
        _ changes: [IPVSChange], at places: ArraySlice<Int>, _ messages: IPVSMessages, _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [IPVSFailure] {
        var batch = NetlinkBatch()
        for place in places { messages.append(changes[place], to: &batch) }
        return try socket.perform(batch, operation: "change virtual servers").map { failure in
            if failure.isNotFound { self.messages = nil }
            let place = places[places.startIndex + min(failure.index ?? 0, places.count - 1)]
            let change = changes[place]
            let error = IPVSError(failure, .server(scheduler: change.scheduler), change.sentence)
            return IPVSFailure(index: place, error: error)
        }
    }

    /// Sets how long connections are remembered, for all virtual servers of the namespace.
    public func set(_ timeouts: IPVSTimeouts) throws(IPVSError) {
        try withSocket { messages, socket throws(NetlinkError) in
            var batch = NetlinkBatch()
            messages.append(timeouts, to: &batch)
            for failure in try socket.perform(batch, operation: "set the timeouts of IPVS") { throw failure }
        }
    }

    private func withSocket<Value>(
        _ body: (IPVSMessages, inout NetlinkSocket) throws(NetlinkError) -> Value
    ) throws(IPVSError) -> Value {
        do throws(NetlinkError) {
            return try NetlinkSocket.use(&socket, NETLINK_GENERIC, options) { socket throws(NetlinkError) in
                let messages = if let known = self.messages { known } else { try IPVSMessages.find(&socket) }
                self.messages = messages
                return try body(messages, &socket)
            }
        } catch {
            messages = nil
            throw IPVSError(error, .servers)
        }
    }
}

extension [IPVSChange] {
    /// What would fail because the kernel lacks a scheduler, as one has already. It is taken out of `places`, and so are
    /// the real servers of virtual servers that cannot be added.
    fileprivate func lacking(like first: IPVSFailure, _ places: inout [Int]) -> [IPVSFailure] {
        let scheduler = self[first.index].scheduler
        var lacking: Set<VirtualServer.Key> = []
        if case .addServer(let key, _) = self[first.index] { lacking.insert(key) }
        var failures: [IPVSFailure] = []
        places.removeAll { place in
            switch self[place] {
            case .addServer(let key, let server) where server.scheduler.name == scheduler: lacking.insert(key)
            case .changeServer(_, let server) where server.scheduler.name == scheduler: break
            case .addRealServer(_, _, let key): return lacking.contains(key)
            default: return false
            }
            failures.append(IPVSFailure(index: place, error: first.error))
            return true
        }
        return failures
    }
}

extension IPVSChange {
    /// Nil where no scheduler is looked for.
    fileprivate var scheduler: String? {
        switch self {
        case .addServer(_, let server), .changeServer(_, let server): server.scheduler.name
        default: nil
        }
    }
}
