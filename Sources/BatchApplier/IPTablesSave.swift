extension IPTablesTools {
    /// What iptables-save prints of every table that the kernel has, counters included.
    public func saveTables(_ access: NodeAccess = NodeAccess()) async throws(IPTablesError) -> [UInt8] {
        let result = await access.run(save, ["-c"])
        guard result.succeeded else { throw IPTablesError(result, operation: "read the tables", tools: self) }
        return result.standardOutput
    }
}
