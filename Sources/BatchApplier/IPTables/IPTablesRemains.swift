public import ProxyCore

/// What modes that use iptables, ours or a kube-proxy's, have left in the kernel of a node that is served in another
/// mode.
public enum IPTablesRemains {
    /// Removes what both modes have left from both variants, and returns what was removed or could not be.
    ///
    /// To be called after the new rules are in place: until then the old ones serve, and for a moment both send to the
    /// same endpoints.
    public static func remove(
        _ family: IPFamily, _ access: NodeAccess = NodeAccess()
    ) async -> [Result<IPTablesCleanup, IPTablesError>] {
        await remove(family, access) { _, _ in IPTablesCleanup.modes }
    }

    /// Removes what the other of the two modes has left, where one serves in a variant now.
    ///
    /// In the other variant everything goes if the other mode served there. What one mode has left in the one variant
    /// and in the other stays: both variants may be in use on purpose.
    public static func remove(
        _ family: IPFamily, servedIn mode: ProxyMode, _ serving: IPTablesVariant, _ access: NodeAccess = NodeAccess()
    ) async -> [Result<IPTablesCleanup, IPTablesError>] {
        let others = IPTablesCleanup.modes.subtracting([mode])
        return await remove(family, access) { variant, found in
            variant != serving && found.map(others.contains) == true ? IPTablesCleanup.modes : others
        }
    }

    /// - Parameter modes: those whose chains go from a variant, by the mode that serves there.
    private static func remove(
        _ family: IPFamily, _ access: NodeAccess,
        _ modes: @Sendable @escaping (IPTablesVariant, ProxyMode?) -> Set<ProxyMode>
    ) async -> [Result<IPTablesCleanup, IPTablesError>] {
        var results: [Result<IPTablesCleanup, IPTablesError>] = []
        for variant in IPTablesVariant.allCases {
            // A node without the programs has no rules of theirs.
            guard let tools = try? await IPTablesTools.find(family, variant, access) else { continue }
            do throws(IPTablesError) {
                let applier = IPTablesApplier(tools: tools, access: access)
                let cleanup = try await applier.cleanUp { modes(variant, $0) }
                if cleanup.hasWork { results.append(.success(cleanup)) }
            } catch {
                results.append(.failure(error))
            }
        }
        return results
    }
}
