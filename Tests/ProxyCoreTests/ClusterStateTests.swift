import ProxyCore
import TestSupport
import Testing

@Suite("ClusterState")
struct ClusterStateTests {
    private let cluster = LargeCluster(services: 2, endpointsEach: 1)

    @Test("a change that changes nothing touches nothing")
    func unchanged() {
        var state = ClusterState()
        for change in cluster.changes { state.apply(change) }
        #expect(state.takeTouched() == [cluster.name(0), cluster.name(1)])
        for change in cluster.changes { state.apply(change) }
        state.apply(.serviceDeleted(.valid("nobody", "knows")))
        state.apply(.endpointSliceDeleted(.valid("nobody", "knows")))
        #expect(state.takeTouched().isEmpty)
    }

    @Test("a slice that moves to another service touches both")
    func moved() {
        var state = ClusterState()
        for change in cluster.changes { state.apply(change) }
        _ = state.takeTouched()
        var slice = cluster.slice(0)
        slice.service = cluster.name(1)
        state.apply(.endpointSlice(slice))
        #expect(state.takeTouched() == [cluster.name(0), cluster.name(1)])
        #expect(state.slices(of: cluster.name(0)).isEmpty)
        #expect(state.slices(of: cluster.name(1)).count == 2)
    }

    @Test("slices come in the order of their names, whatever the order in which they came")
    func order() {
        var forwards = ClusterState()
        var backwards = ClusterState()
        let slices = ["c", "a", "b"].map { name in
            var slice = cluster.slice(0)
            slice.name = .valid("namespace-0", name)
            return slice
        }
        for slice in slices { forwards.apply(.endpointSlice(slice)) }
        for slice in slices.reversed() { backwards.apply(.endpointSlice(slice)) }
        #expect(forwards.slices(of: cluster.name(0)).map(\.name.name) == ["a", "b", "c"])
        #expect(forwards.slices(of: cluster.name(0)) == backwards.slices(of: cluster.name(0)))
    }
}
