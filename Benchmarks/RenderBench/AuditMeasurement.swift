import BenchSupport
import ChainRenderer
import Foundation
import ProxyCore
import TestSupport

/// The check of one size of cluster against a text that comes in pieces, ten endpoints a service.
struct AuditMeasurement {
    static let header = """
        full check, 10 endpoints a service, with comments; the text comes in pieces of 64 KiB
          services  text, MB   check, ms        x   memory beside text and rules, MB   differing   findings
        """

    let cluster: LargeCluster
    /// Whether one in 1,500 rules is missing.
    let isDamaged: Bool

    init(services: Int, isDamaged: Bool) {
        cluster = LargeCluster(services: services, endpointsEach: 10)
        self.isDamaged = isDamaged
    }

    private var rules: IPTablesRules {
        let node = NodePlan(
            ProxyConfiguration(), mode: .iptables, family: .ipv4, nodeName: "node-1", node: nil,
            facts: HostFacts(of: nil))
        var state = ClusterState()
        for change in cluster.changes { state.apply(change) }
        var rules = IPTablesRules(node: node, options: .init(commentLimit: .max))
        rules.update(state.takeTouched(), from: state)
        rules.didCommit()
        return rules
    }

    func run() {
        let path = NSTemporaryDirectory() + "switchyard-bench-\(getpid())"
        defer { unlink(path) }
        // By another process, whose memory is not counted.
        runSelf("save", String(cluster.services), isDamaged ? "damaged" : "equal", path)
        var rules = rules
        let resident = residentMegabytes()
        var highest = resident
        var size = 0
        var report: AuditReport?
        guard var audit = rules.audit(leavesGuardToKubelet: true), let file = fopen(path, "r") else { return }
        let time = milliseconds {
            do {
                var buffer = [UInt8](repeating: 0, count: 1 << 16)
                while true {
                    let count = fread(&buffer, 1, buffer.count, file)
                    if count == 0 { break }
                    try audit.append(buffer[..<count])
                    size += count
                    if size % (1 << 20) < count { highest = max(highest, residentMegabytes()) }
                }
                report = try audit.finish()
            } catch {
                print(error)
            }
        }
        fclose(file)
        highest = max(highest, residentMegabytes())
        let copy = copyTime([UInt8](repeating: 32, count: size))
        print(
            column(Double(cluster.services), 0), column(Double(size) / 1e6, 1, width: 10), column(time, 0, width: 12),
            column(time / copy, 0, width: 9), column(highest - resident, 0, width: 35),
            isDamaged ? "         yes" : "          no",
            column(Double(report?.differences.findings.count ?? -1), 0, width: 11), separator: "")
    }

    /// Writes the tables as iptables-save prints them: the rules of a chain together, the jumps in their chains.
    func save(_ path: String) {
        var rules = rules
        let batch = rules.fullBatch()
        guard let file = fopen(path, "w") else { return }
        defer { fclose(file) }
        var lines = 0
        func put(_ line: some Collection<UInt8>) {
            lines += 1
            if isDamaged, lines % 1500 == 0, line.first == UInt8(ascii: "-") { return }
            let bytes = Array(line) + [UInt8(ascii: "\n")]
            fwrite(bytes, 1, bytes.count, file)
        }
        for table in batch.tables {
            var chains: [ArraySlice<UInt8>: [ArraySlice<UInt8>]] = [:]
            var order: [ArraySlice<UInt8>] = []
            for line in table.text.split(separator: UInt8(ascii: "\n")) {
                if line.first == UInt8(ascii: "-") {
                    let name = line.dropFirst(3).prefix { $0 != UInt8(ascii: " ") }
                    if chains[name] == nil { order.append(name) }
                    chains[name, default: []].append(line)
                } else if !line.elementsEqual("COMMIT".utf8) {
                    put(line)
                }
            }
            for jump in batch.jumps.reversed() where jump.table == table.name {
                let words = jump.matches.isEmpty ? "" : jump.matches + " "
                let name = ArraySlice(jump.chain.utf8)
                if chains[name] == nil { order.append(name) }
                chains[name, default: []].append(ArraySlice("-A \(jump.chain) \(words)-j \(jump.target)".utf8))
            }
            for name in order { for line in chains[name] ?? [] { put(line) } }
            put("COMMIT".utf8)
        }
    }
}

/// The memory that this process has resident now, in megabytes.
func residentMegabytes() -> Double {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let words = text.split(separator: " ")
    return words.count > 1 ? (Double(words[1]) ?? 0) * Double(sysconf(Int32(_SC_PAGESIZE))) / 1e6 : 0
}
