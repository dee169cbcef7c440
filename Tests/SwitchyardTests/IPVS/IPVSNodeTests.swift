import TestSupport
import Testing

/// What needs a node with pods and clients around it and ipvs mode in it, beside what `TrafficTests` has.
@Suite("ipvs mode in a node with traffic", .insideUserModeLinux, .serialized, .trafficLabs)
enum IPVSNodeTests {
    typealias Cluster = TrafficCluster
    typealias Service = TrafficCluster.Service

    static func node() throws -> TrafficNode { try TrafficLabs.node(.ipvs) }
}
