import BenchSupport
import ChainRenderer
import ProxyCore
import TestSupport

/// Planning and rendering of one size of cluster, ten endpoints a service.
struct RuleMeasurement {
    static let header = """
        iptables rules, 10 endpoints a service; times in ms, x = times the copy of the whole text
          services  comments     plan   render together        x     copy 1 change        x 1 service text, MB   peak memory beside the text, MB
        """

    let cluster: LargeCluster

    /// Endpoints above the threshold have no comments in what is committed; with them the text is half as large again.
    let hasComments: Bool

    init(services: Int, hasComments: Bool) {
        self.hasComments = hasComments
        cluster = LargeCluster(services: services, endpointsEach: 10)
    }

    func run() {
        var configuration = ProxyConfiguration()
        configuration.clusterCIDRs = [CIDR("10.0.0.0/8")].compactMap(\.self)
        let node = NodePlan(
            configuration, mode: .iptables, family: .ipv4, nodeName: "node-1", node: nil, facts: HostFacts(of: nil))
        var state = ClusterState()
        for change in cluster.changes { state.apply(change) }
        let touched = state.takeTouched()

        let options = IPTablesRules.Options(commentLimit: hasComments ? .max : IPTablesRules.Options().commentLimit)
        var rules = IPTablesRules(node: node, options: options)
        var whole: IPTablesBatch?
        let together = milliseconds {
            rules.update(touched, from: state)
            whole = rules.fullBatch()
        }
        let peak = peakMegabytes()
        rules.didCommit()
        let text = whole?.text ?? []
        var plans = PlanTable()
        let planning = milliseconds { _ = plans.update(touched, from: state, in: node.context) }
        let copy = copyTime(text)
        let change = median(201) { generation in
            let index = generation * 37 % cluster.services
            let slice = cluster.slice(index, generation: generation + 1)
            var batch: IPTablesBatch?
            let time = milliseconds {
                state.apply(.endpointSlice(slice))
                rules.update(state.takeTouched(), from: state)
                batch = rules.partialBatch()
            }
            precondition(batch != nil)
            rules.didCommit()
            return time
        }
        let added = addedService(&state, &rules)
        let size = Double(text.count) / 1e6
        print(
            column(Double(cluster.services), 0), hasComments ? "       yes" : "        no",
            column(planning, 1, width: 9), column(together - planning, 1, width: 9),
            column(together, 1, width: 9), column(together / copy, 1, width: 9), column(copy, 1, width: 9),
            column(change, 3, width: 9), column(change / copy, 4, width: 9), column(added, 2, width: 10),
            column(size, 1, width: 9),
            column(peak - size, 0, width: 14), separator: "")
    }

    /// Milliseconds to plan and render a service that is added: the shared chain of all services is in the batch.
    private func addedService(_ state: inout ClusterState, _ rules: inout IPTablesRules) -> Double {
        let larger = LargeCluster(services: cluster.services + 51, endpointsEach: 10)
        return median(51) { number in
            var batch: [IPTablesBatch] = []
            let time = milliseconds {
                state.apply(.service(larger.service(cluster.services + number)))
                state.apply(.endpointSlice(larger.slice(cluster.services + number)))
                rules.update(state.takeTouched(), from: state)
                batch = rules.nextBatches(chainLimit: 1000)
            }
            precondition(batch.count == 1)
            rules.didCommit()
            return time
        }
    }
}
