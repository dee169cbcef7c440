public import BatchApplier
public import NFTBackend
public import ProxyCore

// What the applier knows of a table as bytes, and the backend by its meaning.

extension NFTKernelTable {
    /// A table as the kernel has listed it: ours, unless another is named.
    public init(_ dump: NFTablesDump, _ family: IPFamily, table: String = NFTablesNames.sharedMaps) {
        self.init(family, table: table, messages: dump.messages.lazy.map { ($0.type, $0.payload) })
    }
}

extension NFTablesError {
    /// The same with what of the batch the kernel saw the fault in, and with what the kernel may be without.
    public func naming(objectOf batch: NFTablesBatch) -> NFTablesError {
        guard let place else { return self }
        let features = mayLackFeature ? batch.features(ofMessage: place.message, at: place.offset) : []
        let absence = NFTFeature.possibleAbsence(features, batch.family).map { "; \($0)" } ?? ""
        return naming(batch.object(ofMessage: place.message, at: place.offset).map { $0 + absence })
    }
}
