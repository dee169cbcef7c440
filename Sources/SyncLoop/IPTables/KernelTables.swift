import BatchApplier
import ProxyCore

/// What the loop asks of one family's tables: the kernel, or in a test something that behaves like it.
protocol KernelTables: Sendable {
    func apply(_ batch: IPTablesBatch) async throws(IPTablesError) -> IPTablesReport
    func save<Value: Sendable>(
        _ tables: [IPTablesBatch.TableName], into start: Value,
        _ take: @escaping @Sendable (inout Value, [UInt8]) -> Void
    ) async throws(IPTablesError) -> Value
}

extension IPTablesApplier: KernelTables {}
