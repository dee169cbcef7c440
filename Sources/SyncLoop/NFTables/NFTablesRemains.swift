public import BatchApplier
import NFTBackend
public import ProxyCore

/// What nftables mode, ours or a kube-proxy's, has left in the kernel of a node that is served in another mode.
public enum NFTablesRemains {
    /// Deletes the tables, and returns the names of those that were there, or why they could not be deleted.
    ///
    /// To be called after the new rules are in place: until then the old ones serve, and for a moment both send to the
    /// same endpoints. A kernel without nf_tables has no such tables.
    public static func remove(
        _ family: IPFamily, _ applier: NFTablesApplier = NFTablesApplier()
    ) async -> [Result<String, NFTablesError>] {
        var results: [Result<String, NFTablesError>] = []
        for name in NFTablesNames.all {
            do throws(NFTablesError) {
                guard try await applier.read(family, table: name, withElements: false) != nil else { continue }
                let table = NFTTable.Identity(family: family, name: name, comment: nil)
                _ = try await applier.commit(NFTablesBatch(NFTTransaction(table, [.deleteTable(name: name)])))
                results.append(.success(name))
            } catch {
                if error.kind != .unsupported { results.append(.failure(error)) }
            }
        }
        return results
    }
}
