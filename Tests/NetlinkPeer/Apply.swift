import BatchApplier
import ProxyCore

/// Commits a batch, with programs of a directory before those of the path.
///
///     apply VARIANT FAMILY BATCH DIRECTORY
func apply(_ words: ArraySlice<String>) async throws {
    let words = Array(words)
    guard words.count == 4, let variant = IPTablesVariant(rawValue: words[0]),
        let batch = BatchFile(words[1], path: words[2]).batch
    else { Output.fail("apply needs a variant, a family, a batch and a directory") }
    let access = NodeAccess(searchPath: [words[3]] + NodeAccess.defaultSearchPath)
    let tools = try await IPTablesTools.find(batch.family, variant, access)
    _ = try await IPTablesApplier(tools: tools, access: access).apply(batch)
}
