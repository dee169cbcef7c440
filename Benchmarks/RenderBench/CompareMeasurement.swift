import BenchSupport
import ChainRenderer
import ProxyCore
import TestSupport

/// Parsing rule text of one size of cluster and comparing it with the rules wanted, ten endpoints a service.
struct CompareMeasurement {
    static let header = """
        rules read back, with comments; times in ms, x = times the copy of the text
          services   lines text, MB   parse        x compare        x     copy   peak memory, MB
        """

    let cluster: LargeCluster

    init(services: Int) {
        cluster = LargeCluster(services: services, endpointsEach: 10)
    }

    func run() {
        let node = NodePlan(
            ProxyConfiguration(), mode: .iptables, family: .ipv4, nodeName: "node-1", node: nil,
            facts: HostFacts(of: nil))
        var state = ClusterState()
        for change in cluster.changes { state.apply(change) }
        var rules = IPTablesRules(node: node, options: .init(commentLimit: .max))
        rules.update(state.takeTouched(), from: state)
        let text = rules.fullBatch().text
        do {
            let wanted = try RuleSet(parsing: text, family: .ipv4)
            var found = wanted
            let parsing = milliseconds {
                do { found = try RuleSet(parsing: text, family: .ipv4) } catch { print(error) }
            }
            var isEqual = false
            let comparing = milliseconds {
                isEqual =
                    RuleComparison(wanted: wanted, found: found, leavesGuardToKubelet: true).differences().isEmpty
            }
            precondition(isEqual, "a text differs from itself")
            let copy = copyTime(text)
            let lines = text.count { $0 == UInt8(ascii: "\n") }
            print(
                column(Double(cluster.services), 0), column(Double(lines), 0, width: 8),
                column(Double(text.count) / 1e6, 1, width: 9), column(parsing, 0, width: 8),
                column(parsing / copy, 0, width: 9), column(comparing, 0, width: 8),
                column(comparing / copy, 0, width: 9), column(copy, 1, width: 9), column(peakMegabytes(), 0, width: 18),
                separator: "")
        } catch {
            print(error)
        }
    }
}
