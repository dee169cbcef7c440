import BatchApplier
import NFTBackend
import ProxyCore

/// Reads what the counters of services say when somebody asks: nothing is read in between.
struct NFTablesCounts: Sendable {
    let family: IPFamily
    let model: ClusterModel<NFTablesRenderer>
    /// Not the one that commits: whoever asks is not to wait for a commit.
    private let applier = NFTablesApplier()

    init(family: IPFamily, model: ClusterModel<NFTablesRenderer>) {
        self.family = family
        self.model = model
    }

    /// In the order of the service ports; nil where the kernel does not tell.
    func read() async -> [DaemonStatus.ServiceCount]? {
        guard let dump = try? await applier.readCounters(family, table: NFTablesNames.sharedMaps) else { return nil }
        let found = NFTKernelTable(dump, family)
        return await model.read(family) { $0.counts(in: found) }?.map { service, counter in
            DaemonStatus.ServiceCount(
                service: service.description, protocol: service.protocol.rawValue, packets: counter.packets,
                bytes: counter.bytes)
        }
    }
}
