import BatchApplier
import NFTBackend
public import ProxyCore

/// Whether this kernel has what nftables mode needs.
public enum NFTablesSupport: Hashable, Sendable {
    /// A sentence for each feature that lacks; none if all are there.
    case known(missing: [String])
    /// Nothing could be tried: why.
    case unknown(String)

    /// Tries every feature by a transaction in a network namespace of its own: nothing on the node changes. Needs
    /// CAP_SYS_ADMIN and CAP_NET_ADMIN.
    public static func ofThisKernel(_ family: IPFamily) async -> NFTablesSupport {
        do throws(NFTablesError) {
            _ = try await NFTablesApplier().generation()
        } catch {
            return error.isWithoutTables ? .known(missing: [error.sentence]) : .unknown(error.sentence)
        }
        let applier: NFTablesApplier
        do throws(NFTablesError) {
            applier = try NFTablesApplier(inNewNamespace: .seconds(5))
        } catch {
            return .unknown("a network namespace to try things in cannot be made (\(error.errno))")
        }
        return await found(family) { batch throws(NFTablesError) in _ = try await applier.commit(batch) }
    }

    static func found(
        _ family: IPFamily, commit: (NFTablesBatch) async throws(NFTablesError) -> Void
    ) async -> NFTablesSupport {
        var missing: [String] = []
        for feature in NFTFeature.allCases {
            do throws(NFTablesError) {
                try await commit(NFTablesBatch(feature.trial(family)))
            } catch {
                guard error.tellsOfAbsence else { return .unknown("\(feature.rawValue): \(error.sentence)") }
                if feature == .tables { return .known(missing: [feature.absence(family)]) }
                missing.append(feature.absence(family))
            }
        }
        return .known(missing: missing)
    }
}
