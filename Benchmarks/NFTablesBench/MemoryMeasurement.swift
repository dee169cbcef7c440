import BatchApplier
import BenchSupport
import Foundation
import NFTBackend
import ProxyCore

/// The memory of a process that keeps objects, plans and table, as the daemon does, and commits all of it once.
struct MemoryMeasurement {
    static let header = """
        memory of a process that syncs once, 10 endpoints a service, in MB: the peak so far (VmHWM), then what is resident
          services   started   objects and plans   table and transaction   messages   committed    resident
        """

    let services: Int

    func run() async throws {
        let applier = NFTablesApplier()
        var words = column(Double(services), 0) + column(megabytes("VmHWM"), 0)
        let cluster = PlannedCluster(services: services)
        words += column(megabytes("VmHWM"), 0, width: 20)
        var table = cluster.emptyTable
        table.update(.init(changed: cluster.all))
        // The transaction is gone once its messages are there.
        if let batch = batch(&table, &words) {
            words += column(megabytes("VmHWM"), 0, width: 11)
            _ = try await applier.commit(batch)
        }
        table.didCommit(at: .now)
        words += column(megabytes("VmHWM"), 0, width: 12) + column(megabytes("VmRSS"), 0, width: 12)
        precondition(table.servicePortCount == cluster.all.count)
        say(words)
    }

    private func batch(_ table: inout SharedMapsTable, _ words: inout String) -> NFTablesBatch? {
        let transaction = table.nextTransaction()
        words += column(megabytes("VmHWM"), 0, width: 24)
        return transaction.map { NFTablesBatch($0) }
    }

    /// A size of /proc/self/status. Not that of getrusage, which begins with the memory of the process that started
    /// this one.
    private func megabytes(_ key: String) -> Double {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
            let words = line.split(whereSeparator: \.isWhitespace)
            return words.count > 1 ? (Double(words[1]) ?? 0) * 1024 / 1e6 : 0
        }
        return 0
    }
}
