import BatchApplier
import ProxyCore

/// What the loop asks of one family's tables: the kernel, or in a test something that behaves like it.
protocol KernelTables: Sendable {
    func apply(_ batch: IPTablesBatch) async throws(IPTablesError) -> IPTablesReport
    func save(_ tables: [IPTablesBatch.TableName]) async throws(IPTablesError) -> [UInt8]
}

extension IPTablesApplier: KernelTables {}
