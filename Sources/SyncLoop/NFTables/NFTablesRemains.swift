public import BatchApplier
import NFTBackend
public import ProxyCore

/// What nftables mode, ours or a kube-proxy's, has left in the kernel of a node that is served in another mode.
public enum NFTablesRemains {
    /// What became of a table that was there.
    public struct Removal: Sendable {
        public var table: String
        /// Why it could not be looked for or deleted; nil if it is gone, or would go.
        public var failure: NFTablesError?
    }

    /// Deletes the tables, and returns those that were there or could not be looked for.
    ///
    /// To be called after the new rules are in place: until then the old ones serve, and for a moment both send to the
    /// same endpoints. A kernel without nf_tables has no such tables.
    ///
    /// - Parameter isDryRun: true only says what would be deleted.
    public static func remove(
        _ family: IPFamily, _ applier: NFTablesApplier = NFTablesApplier(), isDryRun: Bool = false
    ) async -> [Removal] {
        var removals: [Removal] = []
        for name in NFTablesNames.all {
            do throws(NFTablesError) {
                guard try await applier.read(family, table: name, withElements: false) != nil else { continue }
                if !isDryRun {
                    let table = NFTTable.Identity(family: family, name: name, comment: nil)
                    _ = try await applier.commit(NFTablesBatch(NFTTransaction(table, [.deleteTable(name: name)])))
                }
                removals.append(Removal(table: name))
            } catch {
                if error.kind != .unsupported { removals.append(Removal(table: name, failure: error)) }
            }
        }
        return removals
    }
}
