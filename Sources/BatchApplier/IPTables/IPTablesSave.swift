extension IPTablesTools {
    /// What iptables-save prints of every table that the kernel has, counters included.
    ///
    /// It is asked again if it fails: iptables-nft-save gives up when a chain goes while it lists the rules.
    public func saveTables(_ access: NodeAccess = NodeAccess()) async throws(IPTablesError) -> [UInt8] {
        var result = await access.run(save, ["-c"])
        for attempt in 1..<3 where !result.succeeded && variant == .nft {
            try? await Task.sleep(for: .milliseconds(20 << attempt))
            result = await access.run(save, ["-c"])
        }
        guard result.succeeded else { throw IPTablesError(result, operation: "read the tables", tools: self) }
        return result.standardOutput
    }
}
