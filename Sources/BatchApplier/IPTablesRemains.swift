public import ProxyCore

/// What iptables mode, ours or a kube-proxy's, has left in the kernel of a node that is served in another mode.
public enum IPTablesRemains {
    /// Removes it from both variants, and returns what was removed or could not be.
    ///
    /// To be called after the new rules are in place: until then the old ones serve, and for a moment both send to the
    /// same endpoints.
    public static func remove(
        _ family: IPFamily, _ access: NodeAccess = NodeAccess()
    ) async -> [Result<IPTablesCleanup, IPTablesError>] {
        var results: [Result<IPTablesCleanup, IPTablesError>] = []
        for variant in IPTablesVariant.allCases {
            // A node without the programs has no rules of theirs.
            guard let tools = try? await IPTablesTools.find(family, variant, access) else { continue }
            do throws(IPTablesError) {
                let cleanup = try await IPTablesApplier(tools: tools, access: access).cleanUp()
                if cleanup.hasWork { results.append(.success(cleanup)) }
            } catch {
                results.append(.failure(error))
            }
        }
        return results
    }
}
