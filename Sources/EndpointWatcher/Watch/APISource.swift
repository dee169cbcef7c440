public import ProxyCore

/// The objects of a cluster, from its API server.
public struct APISource: ObjectSource {
    private let resources: [APIResource]
    private let transport: any APITransport
    private let protobuf: (any WireDecoder)?
    private let clock: any WatchClock
    private let random: any RandomNumberGenerator & Sendable

    /// `node` is the name of the Node object to follow. `protobuf` is nil to ask for JSON only.
    package init(
        transport: any APITransport, node: String, protobuf: (any WireDecoder)?,
        clock: (any WatchClock)? = nil,
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        resources = APIResource.all(node: node)
        self.transport = transport
        self.protobuf = protobuf
        self.clock = clock ?? SystemWatchClock()
        self.random = random
    }

    /// Follows the four kinds, each on its own. Never throws: whatever fails is tried again.
    public func run(_ deliver: @escaping @Sendable (SourceUpdate) async -> Void) async throws {
        await withTaskGroup(of: Void.self) { group in
            for resource in resources {
                let machine = WatchMachine(resource, protobuf: protobuf, random: random)
                let follower = WatchFollower(machine, transport: transport, clock: clock, deliver: deliver)
                group.addTask { _ = await follower.run() }
            }
        }
    }

    /// Lists each kind once. Throws `APITransportError` at the first failure, and `CancellationError`.
    public func snapshot() async throws -> Manifests {
        try await withThrowingTaskGroup(of: (Int, Manifests).self) { group in
            for (index, resource) in resources.enumerated() {
                group.addTask { (index, try await list(resource)) }
            }
            var parts = [Manifests?](repeating: nil, count: resources.count)
            for try await (index, part) in group { parts[index] = part }
            return Manifests(
                changes: parts.flatMap { $0?.changes ?? [] }, diagnostics: parts.flatMap { $0?.diagnostics ?? [] })
        }
    }

    private func list(_ resource: APIResource) async throws -> Manifests {
        let machine = WatchMachine(resource, protobuf: protobuf, prefersStreams: false, random: random)
        let collector = Collector()
        let follower = WatchFollower(machine, transport: transport, clock: clock, stopsAtEnd: true) {
            await collector.take($0)
        }
        switch await follower.run() {
        case .complete: return await collector.manifests
        case .interrupted(_, let reason): throw APITransportError(reason)
        default: throw CancellationError()
        }
    }

    /// Collects the objects of a list. One that was sent twice, by a list that began anew, is kept in its last state.
    private actor Collector {
        private var changes: [ObjectKey: ObjectChange] = [:]
        private var order: [ObjectKey] = []
        private var diagnostics: [Diagnostic] = []

        func take(_ update: SourceUpdate) {
            switch update {
            case .changes(let list, _): list.forEach(take)
            case .diagnostic(let diagnostic): diagnostics.append(diagnostic)
            case .complete, .interrupted: break
            }
        }

        private func take(_ change: ObjectChange) {
            let key = change.key
            if changes.updateValue(change, forKey: key) == nil { order.append(key) }
        }

        var manifests: Manifests {
            Manifests(
                changes: order.compactMap { key in changes[key].flatMap { $0 == key.deletion ? nil : $0 } },
                diagnostics: diagnostics)
        }
    }
}
